"""Sessions on MiVOS: the official labels, whatever the way to them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from napari_vos import FrameStack, Session
from napari_vos.configs import MivosConfig
from napari_vos.engines import create_propagator
from napari_vos.engines.base import Estimate, Span
from napari_vos.engines.mivos import MivosPropagator
from napari_vos.engines.mivos_windows import dense, pack, unpack, windows
from napari_vos.errors import WeightsError
from napari_vos.networks.mivos import FusionNetwork, PropagationNetwork
from tests.golden import fill, golden_arrays


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Weights files of the propagation and the fusion network."""
    folder = tmp_path_factory.mktemp("weights")
    paths = folder / "propagation.safetensors", folder / "fusion.safetensors"
    save_file(fill(PropagationNetwork(), "mivos_prop"), paths[0])
    save_file(fill(FusionNetwork(), "mivos_fusion"), paths[1])
    return paths


@pytest.fixture(scope="module")
def movie() -> dict[str, np.ndarray]:
    """Six frames with one object, and the official results with memories every two frames."""
    return {key: array.numpy() for key, array in golden_arrays("mivos_core_k1_96x128").items()}


def open_session(
    images: np.ndarray, files: tuple[Path, Path], *, folder: Path | None = None, **settings: Any
) -> Session:
    official = {"working_scale": 1.0, "fusion_weights": str(files[1])}
    config = MivosConfig(**{**official, **settings})
    frames = FrameStack(images, axes="TYXS")
    return Session(frames, engine="mivos", weights=files[0], config=config, folder=folder)


def agree(session: Session, expected: np.ndarray) -> None:
    assert (np.asarray(session.labels[:]) != expected).mean() <= 0.001


@pytest.mark.slow
@pytest.mark.parametrize("memory_every", [5, 2])
def test_interactions_on_frames_that_need_padding(
    files: tuple[Path, Path], memory_every: int
) -> None:
    golden = {key: each.numpy() for key, each in golden_arrays("mivos_core_k2_100x131").items()}
    run = f"memfreq{memory_every}"
    steps = [(3, f"{run}_step1"), (9, f"{run}_step2"), (6, "third_step3")]
    with open_session(golden["video_u8"], files, memory_every=memory_every) as session:
        for t, step in steps if memory_every == 5 else steps[:2]:
            session.add_mask(t, golden["gt_masks"][t])
            session.run()
            agree(session, golden[f"masks_{step}"])


@pytest.mark.slow
def test_a_fused_run_continued_later_ends_with_the_same_labels(
    movie: dict[str, np.ndarray], files: tuple[Path, Path], tmp_path: Path
) -> None:
    masks, folder = movie["gt_masks"], tmp_path / "session"
    settings = {"memory_every": 2, "top_k": 20, "memory_profile": 3}
    with open_session(movie["video_u8"], files, **settings) as session:
        for t in (0, 5):
            session.add_mask(t, masks[t])
            session.run()
        agree(session, movie["masks_step2"])
        expected = np.asarray(session.labels[:])
        probability = session.probability(1, 1)[0]
    with open_session(movie["video_u8"], files, folder=folder, **settings) as session:
        session.add_mask(0, masks[0])
        session.run()
        agree(session, movie["masks_step1"])
        session.add_mask(5, masks[5])
        running = session.propagate()
        assert [next(running).t for _ in range(3)] == [4, 3, 2]
        running.close()
    with Session.load(folder, FrameStack(movie["video_u8"], axes="TYXS")) as continued:
        continued.run()
        np.testing.assert_array_equal(np.asarray(continued.labels[:]), expected)
        np.testing.assert_array_equal(continued.probability(1, 1)[0], probability)


@pytest.mark.slow
def test_a_user_frame_added_later_is_fused_by_distance_without_fusion_weights(
    movie: dict[str, np.ndarray], files: tuple[Path, Path]
) -> None:
    frames, masks = FrameStack(movie["video_u8"], axes="TYXS"), movie["gt_masks"]
    with Session(frames, engine="mivos", weights=files[0]) as session:
        session.add_mask(0, masks[0])
        session.run()
        first = np.asarray(session.labels[:])
        session.add_mask(5, masks[5])
        session.run()
        second = np.asarray(session.labels[:])
    changes = [(first[t] != second[t]).sum() for t in range(1, 5)]
    assert changes[3] > changes[0]


@pytest.mark.slow
def test_batches_of_objects_and_frozen_objects(files: tuple[Path, Path]) -> None:
    golden = golden_arrays("mivos_core_k2_100x131")
    images, masks = golden["video_u8"].numpy()[:5], golden["gt_masks"].numpy()
    results = []
    for batch_size in (1, 2):
        with open_session(images, files, batch_size=batch_size) as session:
            session.add_mask(0, masks[0])
            session.run()
            results.append(np.asarray(session.labels[:]))
    assert (results[0] != results[1]).mean() <= 0.001
    with open_session(images, files) as session:
        session.add_mask(0, np.where(masks[0] == 1, 1, 0).astype(np.uint16))
        session.run()
        before = [session.probability(t, 1)[0] for t in range(5)]
        session.add_mask(0, np.where(masks[0] == 2, 2, 0).astype(np.uint16))
        session.run()
        for t in range(5):
            np.testing.assert_array_equal(session.probability(t, 1)[0], before[t])
        assert 2 in np.asarray(session.labels[:])[1:]


@pytest.mark.slow
def test_what_is_kept_on_the_device_changes_nothing(
    movie: dict[str, np.ndarray], files: tuple[Path, Path]
) -> None:
    results = []
    for profile in (0, 3):
        with open_session(movie["video_u8"][:4], files, memory_profile=profile) as session:
            session.add_mask(0, movie["gt_masks"][0])
            session.run()
            session.add_mask(3, movie["gt_masks"][3])
            session.run()
            results.append([session.probability(t, 1)[0] for t in range(4)])
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_small_objects_are_enlarged_and_few_memories_kept(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    images = np.random.default_rng(0).integers(0, 255, (7, 20, 30), dtype=np.uint8)
    mask = np.zeros((20, 30), np.uint16)
    mask[4:16, 5:17] = 3
    settings = {"working_scale": "auto", "memory_every": 1, "memory_frames": 2}
    results = []
    for n_first in (6, 4):
        folder = tmp_path / f"{n_first}"
        with open_session(images[..., None].repeat(3, -1), files, folder=folder, **settings) as run:
            run.add_mask(0, mask)
            with closing(run.propagate()) as running:
                assert [next(running).t for _ in range(n_first)] == list(range(1, n_first + 1))
            if n_first == 4:
                with np.load(next(folder.glob("states/*/000004.npz"))) as state:
                    assert (state["scale"], list(state["kept"])) == (4.0, [2, 3])
            run.run()
            results.append(np.asarray(run.labels[:]))
    np.testing.assert_array_equal(*results)


@pytest.mark.slow
def test_frames_smaller_than_the_stride_in_grey(files: tuple[Path, Path]) -> None:
    images = np.random.default_rng(0).integers(0, 4000, (3, 11, 14), dtype=np.uint16)
    mask = np.zeros((11, 14), np.uint16)
    mask[3:7, 4:9] = 9
    frames = FrameStack(images, axes="TYX")
    with Session(frames, engine="mivos", weights=files[0]) as session:
        session.add_mask(0, mask)
        session.run()
        assert set(np.unique(session.labels[:])) <= {0, 9}
        assert (session.labels[0] == mask).all()


@pytest.mark.slow
def test_an_estimate_grows_with_what_is_asked_for(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = FrameStack(np.zeros((30, 96, 128), np.uint8), axes="TYX")
    engine = create_propagator("mivos", frames, weights=files[0])
    few = engine.estimate([Span(0, 29, (1,), (0,))])
    many = engine.estimate([Span(0, 29, tuple(range(1, 9)), (0,))])
    assert (few.object_frames, many.object_frames) == (29, 232)
    assert 0 < few.memory < many.memory
    assert 0 < few.seconds < many.seconds
    assert many.memory - few.memory >= 7 * many.object_memory
    # Measured times differ from one estimate to the next.
    monkeypatch.setattr(MivosPropagator, "_seconds", lambda engine: (1.0, 0.1))
    few = engine.estimate([Span(0, 29, (1,), (0,))])
    small = engine.estimate([Span(0, 29, (1,), (0,), object_side=16.0)])
    assert 8.5 * few.seconds < small.seconds
    assert 8.5 * few.object_memory < small.object_memory


@pytest.fixture
def estimating(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Estimate]:
    """Estimates forward through a movie of 512 x 1024 pixels, from a second for each frame."""
    monkeypatch.setattr(MivosPropagator, "_seconds", lambda engine: (1.0, 0.0))

    def estimate(n_frames: int = 20, **settings: object) -> Estimate:
        frames = FrameStack(np.broadcast_to(np.zeros(1, np.uint8), (n_frames, 512, 1024)))
        config = MivosConfig(**{"memory_profile": 3, **settings})
        engine = create_propagator("mivos", frames, weights=files[0], config=config)
        return engine.estimate([Span(0, n_frames - 1, (1, 2), (0,))])

    return estimate


@pytest.mark.slow
def test_memory_does_not_grow_with_the_movie_where_memories_lie_in_files(
    estimating: Callable[..., Estimate],
) -> None:
    assert estimating(200).memory == estimating(20).memory
    short, long = (estimating(n_frames, memory_profile=2).memory for n_frames in (20, 200))
    memories = (199 // 5 - 19 // 5) * 2 * (512 * 1024 // 256) * 640 * 4
    assert long - short == memories


@pytest.mark.slow
def test_tiles_take_less_memory_and_more_time(estimating: Callable[..., Estimate]) -> None:
    whole, tiled = estimating(), estimating(tile_side=256)
    assert tiled.memory < 0.75 * whole.memory
    assert tiled.seconds > 1.5 * whole.seconds
    assert tiled.object_memory == whole.object_memory


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 0.001), ("float16", 0.02)])
def test_the_same_labels_on_a_gpu(
    movie: dict[str, np.ndarray], files: tuple[Path, Path], precision: str, tolerance: float
) -> None:
    frames = FrameStack(movie["video_u8"], axes="TYXS")
    for profile in (0, 3):
        config = MivosConfig(
            memory_every=2,
            top_k=20,
            working_scale=1.0,
            memory_profile=profile,
            fusion_weights=str(files[1]),
        )
        chosen = {"device": "cuda", "precision": precision}
        with Session(frames, engine="mivos", weights=files[0], config=config, **chosen) as session:
            for t, step in ((0, "masks_step1"), (5, "masks_step2")):
                session.add_mask(t, movie["gt_masks"][t])
                session.run()
                assert (np.asarray(session.labels[:]) != movie[step]).mean() <= tolerance


def test_weights_are_asked_for() -> None:
    frames = FrameStack(np.zeros((2, 32, 32), np.uint8), axes="TYX")
    with pytest.raises(WeightsError, match=r"without weights: name the file.*'compact' needs none"):
        create_propagator("mivos", frames)


def test_windows_hold_what_is_dense() -> None:
    planes = np.zeros((2, 20, 30), np.float32)
    planes[0, 4:9, 5:12] = 0.75
    found = windows((3, 8), planes)
    assert list(found) == [3]
    np.testing.assert_array_equal(dense([found[3], None], (20, 30)), planes)
    np.testing.assert_array_equal(unpack(pack(found, [1], 1.0), (3, 8), (20, 30)), planes)

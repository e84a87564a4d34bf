"""Sessions on MAST: the official labels, whatever the way to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy import ndimage
from torch.nn import functional

from napari_vos import FrameStack, Session, checkpoints
from napari_vos.configs import MastConfig
from napari_vos.engines import create_propagator
from napari_vos.engines.base import Span
from napari_vos.engines.mast import MastPropagator
from napari_vos.engines.mast_frames import MastFrames, planes_of, show, spaced
from napari_vos.engines.mast_labels import Enlargement, Scores, labels_at_features
from napari_vos.engines.mast_reading import AUTHORS, OURS
from napari_vos.engines.mast_span import MastSpan
from napari_vos.errors import NapariVosError, WeightsError
from napari_vos.metrics import region_similarity
from napari_vos.networks.mast import MastSmall, full_size, rgb_to_lab
from napari_vos.session.merge import labels_of, user_evidence
from napari_vos.simulation import Modality, Scenario, simulate
from napari_vos.store.evidence import Box, ObjectEvidence, Source
from tests.golden import assert_near, golden_arrays, golden_shapes, golden_weights


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of the authors' network."""
    path = tmp_path_factory.mktemp("weights") / "mast.safetensors"
    weights = golden_weights(golden_shapes("mast"), {"post_convolution.weight": 4.0})
    bias = golden_arrays("mast_bias_override")["post_convolution_bias"]
    save_file(weights | {"post_convolution.bias": bias}, path)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of our network, untrained: random features, spread around 0."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    network = MastSmall().eval()
    last = network.post_convolution
    features = network.encode(torch.randn(1, 3, 64, 64))
    last.weight.data *= 2 / features.std()
    last.bias.data.zero_()
    last.bias.data -= network.encode(torch.randn(1, 3, 64, 64)).mean(dim=(0, 2, 3))
    save_file(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def movie() -> tuple[np.ndarray, np.ndarray]:
    """A textured ground on which two textured discs walk to the right: images and labels."""
    random = np.random.default_rng(0)
    texture = [ndimage.gaussian_filter(random.standard_normal((48, 72)), 2) for _ in range(3)]
    texture = [plane / plane.std() for plane in texture]
    y, x = np.mgrid[:48, :72]
    images, labels = np.empty((10, 48, 72)), np.zeros((10, 48, 72), np.uint16)
    for t in range(10):
        images[t] = texture[0]
        for object_id, place, plane in ((7, (14, 14), texture[1]), (3, (34, 40), texture[2])):
            inside = np.hypot(y - place[0], x - place[1] - 2 * t) < 10
            images[t][inside] = 3 + np.roll(plane, 2 * t, axis=1)[inside]
            labels[t][inside] = object_id
    return (5000 + 1000 * images).astype(np.uint16), labels


@pytest.fixture
def ideal(movie: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """A network to which every object of the movie looks like itself and like nothing else."""
    codes = 3 * torch.randn((8, 64), generator=torch.Generator().manual_seed(0))
    labels = torch.from_numpy(movie[1].astype(np.int64))
    monkeypatch.setattr(
        "napari_vos.engines.mast_frames.MastFrames.features",
        lambda _, t, spacing: codes[labels[t, ::spacing, ::spacing]].permute(2, 0, 1)[None],
    )


def open_session(
    images: np.ndarray, weights: Path, *, folder: Path | None = None, **settings: int
) -> Session:
    axes = "TYXS" if images.ndim == 4 else "TYX"
    config = MastConfig(**settings)
    return Session(
        FrameStack(images, axes=axes), engine="mast", weights=weights, config=config, folder=folder
    )


@pytest.mark.slow
@pytest.mark.parametrize("version", ["fixed", "official"])
def test_the_official_labels(official: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    golden = golden_arrays("mast_loop_64x91")
    lab, expected = golden["lab"].float(), golden[f"labels_{version}_align_true"].numpy()
    monkeypatch.setattr("napari_vos.engines.mast_frames.planes_of", lambda _, t: lab[t])
    monkeypatch.setattr("napari_vos.engines.mast_frames.show", lambda planes, *, bands: planes)
    images = np.zeros((*lab.shape[:1], *lab.shape[2:]), np.uint8)
    with open_session(images, official, last_offset_for_all=version == "official") as session:
        session.add_mask(0, expected[0])
        session.run()
        different = np.asarray(session.labels[:]) != expected
    assert different.mean(axis=(1, 2)).max() <= 1e-3


@pytest.mark.usefixtures("ideal")
def test_follows_what_moves(small: Path, movie: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = movie
    with open_session(images, small) as session:
        session.add_mask(0, labels[0])
        session.run()
        result = np.asarray(session.labels[:])
        confidence = session.confidence[9, 7]
    for object_id in (3, 7):
        found, truth = result[-1] == object_id, labels[-1] == object_id
        assert (found & truth).sum() / (found | truth).sum() > 0.7
    assert 0.3 < confidence <= 1


def test_a_run_continued_later_ends_with_the_same_labels(
    small: Path, movie: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    images, labels = movie

    def correct(session: Session) -> None:
        session.add_mask(0, labels[0])
        session.run()
        session.add_mask(9, labels[9])

    with open_session(images, small, cache_megabytes=0) as session:
        correct(session)
        session.run()
        expected = np.asarray(session.labels[:])
        probability = session.probability(2, 7)[0]
    with open_session(images, small, folder=tmp_path / "session") as session:
        correct(session)
        running = session.propagate()
        assert [next(running).t for _ in range(5)] == [8, 7, 6, 5, 4]
        running.close()
    with Session.load(tmp_path / "session", FrameStack(images, axes="TYX")) as continued:
        continued.run()
        np.testing.assert_array_equal(np.asarray(continued.labels[:]), expected)
        np.testing.assert_array_equal(continued.probability(2, 7)[0], probability)


@pytest.mark.usefixtures("ideal")
def test_a_frozen_object_stays_and_what_it_leaves_is_read(
    small: Path, movie: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = movie
    with open_session(images, small) as session:
        session.add_mask(0, np.where(labels[0] == 7, 7, 0).astype(np.uint16))
        session.run()
        before = [session.probability(t, 7)[0] for t in range(10)]
        session.add_mask(4, np.where(labels[4] == 3, 3, 0).astype(np.uint16))
        session.run()
        result = np.asarray(session.labels[:])
        for t in range(10):
            total = dense(session, t, 3) + dense(session, t, 7)
            assert float(total.max()) < 1.002
            if t != 4:  # the new mask takes pixels there
                np.testing.assert_array_equal(session.probability(t, 7)[0], before[t])
    assert (result == 3).any(axis=(1, 2)).all()


def dense(session: Session, t: int, object_id: int) -> np.ndarray:
    plane = np.zeros(session.labels.shape[1:], np.float32)
    window, box = session.probability(t, object_id)
    plane[box.slices] = window
    return plane


def engine_of(weights: Path, n_frames: int) -> MastPropagator:
    frames = FrameStack(np.zeros((n_frames, 16, 16), np.uint8), axes="TYX")
    engine = create_propagator("mast", frames, weights=weights)
    assert isinstance(engine, MastPropagator)
    return engine


@pytest.mark.parametrize(
    ("span", "t", "expected"),
    [
        (Span(0, 39, (1,), (0,)), 31, [0, 5, 26, 28, 30]),
        (Span(40, 0, (1,), (40,)), 9, [40, 35, 14, 12, 10]),
        (Span(40, 79, (1,), (40,)), 42, [40, 41]),
        (Span(20, 39, (1,), (0, 40, 20), fuse_with=40), 30, [0, 20, 40, 25, 27, 29]),
    ],
)
def test_references_hold_the_objects_of_the_span(
    small: Path, span: Span, t: int, expected: list[int]
) -> None:
    run = MastSpan(engine_of(small, 80), span, evidence=None)  # type: ignore[arg-type]
    assert run.references(t) == expected


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("shape", [(5, 6), (64, 91), (33, 40)])
def test_windows_are_what_enlarging_whole_planes_gives(
    shape: tuple[int, int], aligned: bool
) -> None:
    random = torch.Generator().manual_seed(0)
    size = [-(-length // 4) for length in shape]
    scores = torch.rand((4, *size), generator=random) * (
        torch.rand((4, *size), generator=random) > 0.6
    )
    scores[0] += 0.2  # the background is everywhere
    frozen = np.linspace(0, 1, shape[0] * shape[1], dtype=np.float32).reshape(shape)
    top, bottom = scores[:, :2], scores[:, 2:]
    bands = [(range(2), top), (range(2, size[0]), bottom)]
    enlargement = Enlargement(shape, spacing=4, aligned=aligned)
    found = enlargement.windows([9, 4, 6], Scores.gather(bands), frozen)
    planes = full_size(scores[None], shape)[0]
    if aligned:
        size = [4 * length - 3 for length in size]
        planes = functional.interpolate(scores[None], size, mode="bilinear", align_corners=True)[0]
        planes = functional.pad(planes[None], (0, 3, 0, 3), mode="replicate")[0]
        planes = planes[:, : shape[0], : shape[1]]
    expected = (planes / planes.sum(dim=0)).numpy() * (1 - frozen)
    for index, object_id in enumerate([9, 4, 6], 1):
        plane = np.zeros(shape, np.float32)
        plane[found[object_id].box.slices] = found[object_id].probability
        shown = expected[index] >= 0.02
        np.testing.assert_allclose(plane[shown], expected[index][shown], atol=6e-3)


def test_labels_at_features_are_those_of_the_session() -> None:
    random = np.random.default_rng(0)
    labels = np.kron(random.integers(0, 5, (6, 5)), np.ones((5, 7), int)).astype(np.uint16)
    items = user_evidence(labels)
    expected = labels_of(items.values(), labels.shape)[::4, ::4]
    np.testing.assert_array_equal(expected, labels[::4, ::4])
    found, _ = labels_at_features(items.values(), [4, 1], labels.shape, spacing=4, count=1)
    # Objects 2 and 3 are frozen.
    np.testing.assert_array_equal(found[0], np.array([1, 3, 0, 0, 2])[expected])


def test_the_likeliest_labels_come_with_their_probabilities() -> None:
    probabilities = {9: (0.5, 0.3, 0.0), 4: (0.25, 0.7, 0.0), 6: (0.15, 0.0, 0.0)}
    items = [
        ObjectEvidence(i, Box(0, 0, 1, 3), np.array([row], np.float16), 1.0, Source.PROPAGATED)
        for i, row in probabilities.items()
    ]
    found, probability = labels_at_features(items, [4, 9], (1, 3), spacing=1, count=3)
    # Object 6 is frozen.
    np.testing.assert_array_equal(found[:, 0, :2].T, [[3, 2, 0], [2, 3, 1]])
    assert found[0, 0, 2] == 1
    np.testing.assert_allclose(
        probability[:, 0].T, [[0.5, 0.25, 0.15], [0.7, 0.3, 0], [1, 0, 0]], atol=1e-3
    )


@pytest.mark.parametrize("spacing", [1, 2, 3, 8])
def test_a_reading_of_features_that_are_alike_at_any_spacing(spacing: int) -> None:
    """What is read where it was stays, to the pixel at each feature."""
    random = np.random.default_rng(0)
    probability = random.random((19, 23)).astype(np.float16)
    item = ObjectEvidence(5, Box(0, 0, 19, 23), probability, 1.0, Source.PROPAGATED)
    labels, shares = labels_at_features([item], [5], (19, 23), spacing=spacing, count=2)
    scores = np.zeros((3, *labels.shape[1:]), np.float32)
    np.put_along_axis(scores, labels, shares, axis=0)
    bands = [(range(labels.shape[1]), torch.from_numpy(scores[1:]))]
    enlargement = Enlargement((19, 23), spacing=spacing, aligned=True)
    found = enlargement.windows([5], Scores.gather(bands), np.zeros((19, 23), np.float32))[5]
    plane = np.zeros((19, 23))
    plane[found.box.slices] = found.probability
    np.testing.assert_allclose(
        plane[::spacing, ::spacing], probability[::spacing, ::spacing], atol=0.011
    )


@pytest.mark.parametrize(("shape", "spacing"), [((50, 70), 3), ((64, 64), 2), ((40, 41), 8)])
def test_frames_are_seen_at_the_spacing_of_features(shape: tuple[int, int], spacing: int) -> None:
    planes = torch.linspace(0, 1, shape[1]).expand(1, *shape)
    seen = spaced(planes, spacing)
    assert seen.shape == (1, *(4 * -(-length // spacing) for length in shape))
    # To half a pixel of the smaller scale where each feature looks.
    inner = seen[0, 0, ::4][1:-1]
    expected = planes[0, 0, ::spacing][1 : 1 + len(inner)]
    assert float((inner - expected).abs().max()) < 0.51 * spacing / shape[1]
    assert spaced(planes, 4) is planes


def test_features_are_as_close_as_suits_the_objects_and_the_memory() -> None:
    assert [OURS.spacing(side, (400, 400)) for side in (6.0, 30.0, 60.0, 500.0)] == [2, 2, 5, 8]
    assert OURS.spacing(6.0, (4096, 4096)) == 4
    assert OURS.spacing(None, (400, 400)) == AUTHORS.spacing(6.0, (400, 400)) == 4


def test_many_objects_where_nothing_moves(small: Path) -> None:
    labels = np.kron(np.arange(1, 65).reshape(8, 8), np.ones((12, 12), int)).astype(np.uint16)
    still = np.random.default_rng(0).integers(0, 4000, (96, 96), dtype=np.uint16)
    with open_session(np.stack([still] * 3), small) as session:
        session.add_mask(0, labels)
        session.run()
        assert (session.labels[2] == labels).mean() > 0.8


@pytest.mark.parametrize("n_frames", [2, 3])
@pytest.mark.parametrize("shape", [(1, 1), (3, 9), (40, 40)])
def test_few_small_and_constant_frames(small: Path, n_frames: int, shape: tuple[int, int]) -> None:
    images, mask = np.full((n_frames, *shape), 7, np.uint8), np.zeros(shape, np.uint8)
    mask[: 1 + shape[0] // 2, : 1 + shape[1] // 2] = 5
    with open_session(images, small) as session:
        session.add_mask(0, mask)
        session.run()
        assert set(np.unique(session.labels[:])) <= {0, 5}
        np.testing.assert_array_equal(session.labels[0], mask)


def test_the_weights_in_the_package_track_better_than_a_copied_frame() -> None:
    scenario = Scenario(
        modality=Modality.FLUORESCENCE,
        shape=(128, 128),
        n_frames=8,
        n_cells=8,
        division_rate=0.0,
        death_rate=0.0,
        entry_rate=0.0,
    )
    movie = simulate(scenario, seed=3)
    with Session(FrameStack(movie.images, axes="TYX"), engine="mast") as session:
        session.add_mask(0, movie.labels[0])
        session.run()
        result = np.asarray(session.labels[-1])
    truth, first = movie.labels[-1], movie.labels[0]
    ids = np.intersect1d(first[first > 0], truth)
    found, copied = (
        np.mean([region_similarity(labels == i, truth == i) for i in ids])
        for labels in (result, first)
    )
    assert found > copied + 0.1
    assert found > 0.75


@pytest.mark.gpu
def test_the_same_labels_on_a_gpu(small: Path, movie: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = movie
    results = []
    for device in ("cpu", "cuda", "cuda"):
        frames = FrameStack(images, axes="TYX")
        with Session(
            frames, engine="mast", weights=small, device=device, precision="float32"
        ) as session:
            session.add_mask(0, labels[0])
            session.run()
            results.append(np.asarray(session.labels[:]))
    assert (results[0] != results[1]).mean() <= 0.001
    np.testing.assert_array_equal(results[1], results[2])


def test_a_radius_of_nothing_is_refused() -> None:
    with pytest.raises(NapariVosError, match="radius is 0; expected at least 1"):
        MastConfig(radius=0)


def test_colour_and_grey_as_the_network_sees_them() -> None:
    random = np.random.default_rng(0)
    colour = random.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)

    def shown(images: np.ndarray, axes: str, *, bands: bool) -> torch.Tensor:
        return show(planes_of(FrameStack(images, axes=axes), 1), bands=bands)

    expected = rgb_to_lab(torch.from_numpy(colour[1] / np.float32(255)).permute(2, 0, 1))
    assert_near(shown(colour, "TYXS", bands=True), expected, 1e-6)
    assert float(shown(colour[..., 0], "TYX", bands=False)[1:].abs().max()) < 1e-3
    assert float(shown(colour[..., 0], "TYX", bands=True)[1:].abs().max()) > 0.1
    two = np.stack([colour[..., 0], 255 - colour[..., 0]], axis=1)
    assert float(shown(two, "TCYX", bands=True)[1:].abs().max()) > 0.1


def test_a_grey_movie_saved_as_colour_is_seen_as_grey() -> None:
    grey = np.random.default_rng(0).integers(0, 9999, (2, 40, 40), dtype=np.uint16)
    network = MastSmall().eval()
    found = [
        MastFrames(FrameStack(images, axes=axes), network, cache_bytes=0).features(1, 3)
        for images, axes in ((grey, "TYX"), (np.repeat(grey[..., None], 3, axis=3), "TYXS"))
    ]
    assert torch.equal(*found)


def test_features_are_kept_within_the_budget() -> None:
    frames, network = FrameStack(np.zeros((9, 64, 64), np.uint8), axes="TYX"), MastSmall().eval()
    size = network.encode(torch.zeros(1, 3, 64, 64)).nbytes
    kept = MastFrames(frames, network, cache_bytes=2 * size)
    first, second = kept.features(0, 4), kept.features(1, 4)
    assert kept.features(0, 4) is first
    kept.features(2, 4)
    assert kept.features(0, 4) is first
    assert kept.features(1, 4) is not second


def test_an_estimate_grows_with_what_is_asked_for(small: Path) -> None:
    engine = engine_of(small, 30)
    few, many = (engine.estimate([Span(0, last, (1, 2), (0,))]) for last in (4, 29))
    assert (few.object_frames, many.object_frames) == (8, 58)
    assert 0 < few.memory == many.memory
    assert 0 < few.seconds < many.seconds
    assert engine.estimate([]).seconds == 0


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("half", [True, False])
def test_weights_in_the_containers_of_training(
    small: Path, tmp_path: Path, zipped: bool, half: bool
) -> None:
    state = load_file(small)
    kept = {
        f"module.{k}": v.half() if half and v.is_floating_point() else v for k, v in state.items()
    }
    moments = {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(3)}}
    content = {"epoch": 35, "state_dict": kept, "optimizer": {"state": moments}}
    path = tmp_path / "checkpoint.pt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert checkpoints.identify(path).network == "mast_small"
    loaded = checkpoints.load_network("mast_small", path).state_dict()
    for key, value in state.items():
        torch.testing.assert_close(loaded[key], value, rtol=1e-3 * half, atol=1e-3 * half)


def test_weights_of_another_network_and_of_another_run(
    small: Path, official: Path, tmp_path: Path
) -> None:
    frames = FrameStack(np.zeros((2, 32, 32), np.uint8), axes="TYX")
    engine = create_propagator("mast", frames, weights=small, config=MastConfig(radius=3))
    again = create_propagator("mast", frames, weights=small, plan=engine.plan)
    assert again.plan == engine.plan
    with pytest.raises(WeightsError, match="Name the weights file it was made with"):
        create_propagator("mast", frames, weights=official, plan=engine.plan)
    with pytest.raises(WeightsError, match=r"network compact, and those of mast are wanted"):
        create_propagator("mast", frames, weights="compact")

"""The compact engine with the shipped weights on a small simulated movie."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_vos import FrameStack, Session
from napari_vos.errors import NapariVosError
from napari_vos.session import replay
from napari_vos.simulation import Modality, Scenario, Simulation, simulate
from napari_vos.store.evidence import EndReason


@pytest.fixture(scope="module")
def movie() -> Simulation:
    scenario = Scenario(
        modality=Modality.FLUORESCENCE,
        shape=(128, 128),
        n_frames=8,
        n_cells=5,
        diameter=26,
        division_rate=0.0,
        death_rate=0.0,
        entry_rate=0.0,
    )
    return simulate(scenario, seed=3)


def propagate(images: object, labels: np.ndarray) -> np.ndarray:
    with Session(FrameStack(images, axes="TYX")) as session:
        session.add_mask(0, labels)
        session.run()
        return np.asarray(session.labels[:])


def test_follows_the_cells(movie: Simulation) -> None:
    result = propagate(movie.images, movie.labels[0])
    wanted, held = movie.labels[-1] > 0, result[-1] == movie.labels[-1]
    assert set(np.unique(result)) == set(np.unique(movie.labels[0]))
    assert held[wanted].mean() > 0.8
    assert (result[0] == movie.labels[0]).all()


def test_any_container_and_scale_gives_the_same_labels(movie: Simulation) -> None:
    expected = propagate(movie.images, movie.labels[0])
    chunked = da.from_array(movie.images, chunks=(3, 50, 64))
    np.testing.assert_array_equal(propagate(chunked, movie.labels[0]), expected)
    scaled = movie.images.astype(np.float32) * 4
    np.testing.assert_array_equal(propagate(scaled, movie.labels[0]), expected)


def test_a_run_continued_later_ends_with_the_same_labels(movie: Simulation, tmp_path: Path) -> None:
    expected = propagate(movie.images, movie.labels[0])
    frames = FrameStack(movie.images, axes="TYX")
    session = Session(frames, folder=tmp_path / "session")
    session.add_mask(0, movie.labels[0])
    running = session.propagate()
    for _ in range(6):
        next(running)
    running.close()
    session.close()
    with Session.load(tmp_path / "session", frames) as continued:
        continued.run()
        np.testing.assert_array_equal(np.asarray(continued.labels[:]), expected)


def test_a_replay_gives_the_same_labels_whatever_holds_the_images(
    movie: Simulation, tmp_path: Path
) -> None:
    folder = tmp_path / "session"
    with Session(FrameStack(movie.images, axes="TYX"), folder=folder) as session:
        session.add_mask(0, movie.labels[0])
        session.run(frames=(0, 4))
        session.add_mask(3, movie.labels[3])
        session.run(frames=(0, 4))
    chunked = da.from_array(movie.images, chunks=(3, 50, 64))
    stored = zarr.create_array(tmp_path / "a.zarr", data=movie.images, chunks=(1, 64, 64))
    for images in (chunked, stored):
        assert replay(folder, FrameStack(images, axes="TYX")).identical


def test_undo_restores_the_labels(movie: Simulation) -> None:
    with Session(FrameStack(movie.images, axes="TYX")) as session:
        session.add_mask(0, movie.labels[0])
        session.run()
        first = np.asarray(session.labels[:])
        session.add_mask(7, movie.labels[7])
        session.run()
        assert (np.asarray(session.labels[:]) != first).any()
        assert (np.asarray(session.labels[7]) == movie.labels[7]).all()
        session.undo()
        session.undo()
        np.testing.assert_array_equal(np.asarray(session.labels[:]), first)


def test_an_object_that_leaves_the_picture_ends() -> None:
    y, x = np.mgrid[:96, :96]
    centers = 60 + 9 * np.arange(8)
    near = np.stack([np.hypot(y - 30, x - center) < 11 for center in centers])
    still = np.broadcast_to(np.hypot(y - 70, x - 30) < 11, near.shape)
    noise = np.random.default_rng(0).normal(0, 3, near.shape)
    images = 20 + 100 * (near | still) + noise
    result = propagate(images, (near[0] + 2 * still[0]).astype(np.uint8))
    assert not (result[-1] == 1).any()
    assert (result[-1] == 2)[still[-1]].mean() > 0.8


@pytest.mark.parametrize("size", [1, 64])
def test_extreme_objects_do_not_break_the_run(size: int) -> None:
    images = np.random.default_rng(0).normal(100, 10, (3, 64, 64)).astype(np.float32)
    labels = np.zeros((64, 64), np.uint8)
    labels[:size, :size] = 1
    assert propagate(images, labels).shape == images.shape


def test_constant_frames_do_not_break_the_run() -> None:
    labels = np.zeros((64, 64), np.uint8)
    labels[20:40, 20:40] = 1
    assert propagate(np.full((3, 64, 64), 7, np.uint8), labels).shape == (3, 64, 64)


def test_cells_end_where_they_divide() -> None:
    scenario = Scenario(
        modality=Modality.FLUORESCENCE,
        shape=(160, 160),
        n_frames=10,
        n_cells=6,
        diameter=28,
        division_rate=0.12,
        division_frames=2,
        condensation=0.9,
        death_rate=0.0,
        entry_rate=0.0,
        clustering=0.0,
    )
    n_mothers, on_time = 0, []
    for seed in (5, 6, 7, 8):
        movie = simulate(scenario, seed=seed)
        with Session(FrameStack(movie.images, axes="TYX")) as session:
            session.add_mask(0, movie.labels[0])
            session.run()
            ends = {event.object_id: event for event in session.ends}
        mothers = set(movie.parents.values()) & set(np.unique(movie.labels[0]).tolist())
        n_mothers += len(mothers)
        for mother in mothers & ends.keys():
            last = np.flatnonzero((movie.labels == mother).any(axis=(1, 2))).max()
            if abs(ends[mother].t - (last + 1)) <= 1:
                on_time.append(ends[mother].reason)
    assert n_mothers >= 12
    assert len(on_time) >= 0.75 * n_mothers
    assert on_time.count(EndReason.DIVIDED) > 0.5 * len(on_time)


def test_an_unknown_engine_is_named() -> None:
    frames = FrameStack(np.zeros((3, 64, 64), np.uint8), axes="TYX")
    with Session(frames, engine="other") as session:
        session.add_mask(0, np.ones((64, 64), np.uint8))
        with pytest.raises(NapariVosError, match=r"'other'.*compact"):
            session.run()

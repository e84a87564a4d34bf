from __future__ import annotations

import subprocess
import sys
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_vos import FrameStack
from napari_vos.errors import FramesError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture
def movie() -> NDArray[np.uint16]:
    generator = np.random.default_rng(0)
    return generator.gamma(2, 300, (20, 33, 47)).astype(np.uint16)


class CountingArray:
    """An array that remembers which frames were read, and can be told to fail."""

    def __init__(self, images: NDArray[Any], broken: int | None = None) -> None:
        self.images, self.broken = images, broken
        self.shape, self.dtype = images.shape, images.dtype
        self.read: list[int] = []

    def __getitem__(self, index: tuple[Any, ...]) -> NDArray[Any]:
        self.read.append(index[0])
        if index[0] == self.broken:
            raise OSError("the disk is gone")
        return self.images[index].copy()


def containers(images: NDArray[Any], folder: Path) -> dict[str, object]:
    by_frame = zarr.create_array(
        folder / "frame.zarr", shape=images.shape, dtype=images.dtype, chunks=(1, *images.shape[1:])
    )
    by_time = zarr.create_array(
        folder / "time.zarr", shape=images.shape, dtype=images.dtype, chunks=(7, *images.shape[1:])
    )
    old = zarr.create_array(
        folder / "old.zarr", shape=images.shape, dtype=images.dtype, zarr_format=2
    )
    for array in (by_frame, by_time, old):
        array[:] = images
    return {
        "numpy": images,
        "big endian": images.astype(images.dtype.newbyteorder(">")),
        "not contiguous": images[..., ::-1].copy()[..., ::-1],
        "dask by frame": da.from_array(images, chunks=(1, *images.shape[1:])),
        "dask in tiles": da.from_array(images, chunks=11),
        "dask over zarr": da.from_zarr(by_time),
        "zarr by frame": by_frame,
        "zarr along time": by_time,
        "zarr version 2": old,
        "one level": [images],
        "levels": [images, images[:, ::2, ::2]],
    }


def test_all_containers_give_the_same(movie: NDArray[np.uint16], tmp_path: Path) -> None:
    expected = FrameStack(movie)
    for container, images in containers(movie, tmp_path).items():
        frames = FrameStack(images)
        assert frames.axes == "TYX", container
        assert (frames.n_frames, frames.shape, frames.n_channels) == (20, (33, 47), 1), container
        assert frames.dtype == np.uint16, container
        assert frames.dtype.isnative, container
        assert frames.fingerprint == expected.fingerprint, container
        assert frames.normalization == expected.normalization, container
        for t in (0, 7, 19):
            assert np.array_equal(frames.read(t), movie[t][None]), container
            assert frames.read(t).dtype.isnative, container
            assert np.array_equal(frames.normalized(t), expected.normalized(t)), container


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i2", "u4", "i8", "f2", "f4", "f8"])
def test_any_dtype(movie: NDArray[np.uint16], dtype: str) -> None:
    images = (movie % 101).astype(dtype)
    frames = FrameStack(images)
    assert frames.read(3).dtype == images.dtype
    assert np.array_equal(frames.read(3)[0], images[3])
    assert frames.normalized(3).dtype == np.float32
    assert frames.normalized(3).any()


@pytest.mark.parametrize("dtype", ["c8", "M8[s]", "S3", "O"])
def test_other_dtypes_are_refused(dtype: str) -> None:
    with pytest.raises(FramesError, match=r"'phase' has dtype .*expected integers"):
        FrameStack(np.zeros((3, 4, 5), dtype), name="phase")


def test_channels_first_and_last_are_the_same_movie(movie: NDArray[np.uint16]) -> None:
    images = movie.reshape(5, 4, 33, 47)
    first = FrameStack(images)
    last = FrameStack(np.moveaxis(images, 1, -1))
    odd = FrameStack(np.moveaxis(images, 0, 2)[None], axes="ZCYTX")
    assert (first.axes, last.axes, odd.axes) == ("TCYX", "TYXC", "CYTX")
    for frames in (first, last, odd):
        assert (frames.n_frames, frames.n_channels, frames.channels) == (5, 4, (0, 1, 2))
        assert np.array_equal(frames.read(2), images[2])
        assert frames.normalized(2).shape == (3, 33, 47)
        assert frames.fingerprint == first.fingerprint


def test_channels_can_be_chosen(movie: NDArray[np.uint16]) -> None:
    images = movie.reshape(5, 4, 33, 47)
    frames = FrameStack(images, channels=[3, 1])
    alone = FrameStack(images[:, 3])
    assert frames.read(0).shape == (4, 33, 47)
    assert frames.normalization["channels"] == [3, 1]
    assert np.array_equal(frames.normalized(0)[0], alone.normalized(0)[0])
    assert frames.fingerprint == FrameStack(images).fingerprint


@pytest.mark.parametrize("channels", [[], [4], [-1], [1, 1], [0, 1, 2, 3]])
def test_channels_that_cannot_be_used(movie: NDArray[np.uint16], channels: list[int]) -> None:
    with pytest.raises(FramesError, match=r"'phase'; expected one to 3 different ones out of 0"):
        FrameStack(movie.reshape(5, 4, 33, 47), channels=channels, name="phase")


def test_fingerprint_tells_movies_apart(movie: NDArray[np.uint16]) -> None:
    changed = movie.copy()
    changed[-1, -1, -1] += 1
    movies = [movie, changed, movie[:-1], movie.astype(np.int16), movie.reshape(20, 47, 33)]
    assert len({FrameStack(images).fingerprint for images in movies}) == len(movies)


def test_only_the_frame_that_is_asked_for_is_read(movie: NDArray[np.uint16]) -> None:
    images = CountingArray(movie)
    frames = FrameStack(images)
    assert images.read == []
    assert frames.path is None
    frames.read(4)
    frames.read(4)
    assert images.read == [4]


def test_the_sample_does_not_grow_with_the_movie() -> None:
    images = CountingArray(
        np.broadcast_to(np.arange(35, dtype=np.uint8).reshape(5, 7), (5000, 5, 7))
    )
    frames = FrameStack(images)
    assert frames.fingerprint
    assert frames.normalization
    assert len(images.read) == 16


def test_memory_stays_within_the_budget() -> None:
    images = CountingArray(np.ones((40, 10, 10), np.float64))
    frames = FrameStack(images, cache_bytes=4 * 800)
    for t in (*range(40), 39, 38, 37, 36, 35):
        frames.read(t)
    assert images.read == [*range(40), 35]


def test_memory_does_not_grow_with_the_movie() -> None:
    """Read through once, as a run does, a long movie takes as much as a short one."""

    def peak(n_frames: int) -> int:
        images = CountingArray(np.broadcast_to(np.ones((64, 64), np.uint16), (n_frames, 64, 64)))
        frames = FrameStack(images, cache_bytes=10 * 64 * 64 * 6)
        assert frames.normalization
        tracemalloc.start()
        for t in frames.read_ahead(range(n_frames)):
            frames.normalized(t)
        wait_for_threads()
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    assert peak(400) < 2 * peak(40)


def test_frames_are_read_only(movie: NDArray[np.uint16]) -> None:
    frames = FrameStack(movie)
    for frame in (frames.read(0), frames.normalized(0)):
        with pytest.raises(ValueError, match="read-only"):
            frame[0, 0, 0] = 1
    assert movie.flags.writeable  # the user's own array is left as it is


@pytest.mark.parametrize("t", [-1, 20])
def test_frame_outside_the_stack(movie: NDArray[np.uint16], t: int) -> None:
    frames = FrameStack(movie, name="phase")
    for read in (frames.read, frames.normalized):
        with pytest.raises(FramesError, match=f"Frame {t} is outside 'phase'; expected 0 to 19"):
            read(t)
    with pytest.raises(FramesError, match="outside 'phase'"):
        next(frames.read_ahead([0, t]))


def test_a_frame_that_cannot_be_read_is_named(movie: NDArray[np.uint16]) -> None:
    frames = FrameStack(CountingArray(movie, broken=7), name="phase")
    frames.read(6)
    with pytest.raises(FramesError, match="Can't read frame 7 of 'phase': the disk is gone"):
        frames.read(7)


def test_a_frame_of_another_shape_is_named(movie: NDArray[np.uint16]) -> None:
    def block(block_info: Any) -> NDArray[np.uint16]:
        t = block_info[None]["chunk-location"][0]
        return np.zeros((1, 33, 47 - t), np.uint16)

    chunks = ((1,) * 3, (33,), (47,))
    images = da.map_blocks(block, chunks=chunks, dtype=np.uint16, meta=np.empty((0, 0, 0), "u2"))
    frames = FrameStack(images, name="phase")
    frames.read(0)
    with pytest.raises(FramesError, match=r"Frame 1 of 'phase' has shape \(33, 46\); expected"):
        frames.read(1)


def test_what_is_no_array() -> None:
    for images in (None, 3, "images.tif", []):
        with pytest.raises(FramesError, match="'phase' is a"):
            FrameStack(images, name="phase")
    with pytest.raises(FramesError, match=r"Join frames with numpy\.stack"):
        FrameStack([np.zeros((20, 30)), np.zeros((20, 30))])
    lengths = da.from_array(np.zeros((3, 4, 5)))
    with pytest.raises(FramesError, match="compute_chunk_sizes"):
        FrameStack(lengths[lengths[:, 0, 0] == 0])


def test_read_ahead_fetches_the_next_frames() -> None:
    images = CountingArray(np.random.default_rng(0).random((100, 10, 10)))
    frames = FrameStack(images)
    assert frames.normalization
    images.read.clear()
    reader = frames.read_ahead([5, 4, 3, 2])
    assert next(reader) == 5
    wait_for_threads()
    assert images.read == [4, 3]  # neither the caller's own frame nor the whole movie
    assert next(reader) == 4
    wait_for_threads()
    assert images.read == [4, 3, 2]
    assert list(reader) == [3, 2]
    assert images.read == [4, 3, 2]


def test_an_abandoned_reader_leaves_no_thread(movie: NDArray[np.uint16]) -> None:
    for _ in range(20):
        next(FrameStack(movie).read_ahead(range(20)))
    reader = FrameStack(movie).read_ahead(range(20))
    next(reader)
    wait_for_threads()
    assert list(reader) == list(range(1, 20))
    wait_for_threads()


def test_read_ahead_passes_over_broken_frames(movie: NDArray[np.uint16]) -> None:
    frames = FrameStack(CountingArray(movie, broken=1), name="phase")
    reader = frames.read_ahead([0, 1, 2])
    assert next(reader) == 0
    wait_for_threads()
    assert next(reader) == 1
    with pytest.raises(FramesError, match="Can't read frame 1 of 'phase'"):
        frames.normalized(1)
    assert next(reader) == 2
    wait_for_threads()


def test_no_read_ahead_beyond_the_budget(movie: NDArray[np.uint16]) -> None:
    frames = FrameStack(movie, cache_bytes=33 * 47 * 6)
    for _ in frames.read_ahead(range(5)):
        assert not reading_ahead()


def test_many_threads_see_the_same_frames(movie: NDArray[np.uint16]) -> None:
    images = CountingArray(movie)
    frames = FrameStack(images)
    expected = [FrameStack(movie).normalized(t) for t in range(20)]
    wrong: list[int] = []

    def look(start: int) -> None:
        for t in frames.read_ahead([(start + i) % 20 for i in range(20)]):
            if not np.array_equal(frames.normalized(t), expected[t]):
                wrong.append(t)

    threads = [threading.Thread(target=look, args=(start,)) for start in range(0, 20, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sorted(images.read) == list(range(20))  # each once, although all wanted it
    wait_for_threads()


def test_the_process_ends_while_reading_ahead(tmp_path: Path) -> None:
    zarr.save_array(tmp_path / "movie.zarr", np.ones((50, 64, 64), np.uint16))
    program = (
        "import sys, zarr, dask.array as da\n"
        "from napari_vos import FrameStack\n"
        "array = zarr.open_array(sys.argv[1], mode='r')\n"
        "readers = [FrameStack(a).read_ahead(range(50)) for a in (array, da.from_zarr(array))]\n"
        "for reader in readers: next(reader)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "movie.zarr")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, "")


def reading_ahead() -> bool:
    return any(thread.name == "napari-vos read ahead" for thread in threading.enumerate())


def wait_for_threads() -> None:
    deadline = time.monotonic() + 10
    while reading_ahead() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert not reading_ahead()

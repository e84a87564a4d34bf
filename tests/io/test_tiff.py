from __future__ import annotations

import re
import threading
import tracemalloc
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_vos import FrameStack, open_frames
from napari_vos.errors import FramesError
from napari_vos.io.tiff import TiffArray

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture
def movie() -> NDArray[np.uint16]:
    return np.random.default_rng(0).integers(0, 4000, (6, 20, 30), np.uint16)


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "compressed": {"compression": "zlib", "predictor": True},
    "big endian": {"byteorder": ">"},
    "without metadata": {"metadata": None},
    "compressed without metadata": {"metadata": None, "compression": "zlib"},
    "LZW": {"compression": "lzw"},
    "zstd": {"compression": "zstd"},
    "BigTIFF": {"bigtiff": True},
    "tiles": {"tile": (16, 16), "compression": "zlib"},
    "strips": {"rowsperstrip": 7},
    "ImageJ": {"imagej": True, "metadata": {"axes": "TYX"}},
    "compressed ImageJ": {"imagej": True, "metadata": {"axes": "TYX"}, "compression": "zlib"},
    "OME": {"ome": True, "metadata": {"axes": "TYX"}},
    "compressed OME": {"ome": True, "metadata": {"axes": "TYX"}, "compression": "zlib"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_of_tiff(movie: NDArray[np.uint16], tmp_path: Path, kind: str) -> None:
    tifffile.imwrite(tmp_path / "movie.tif", movie, **KINDS[kind])
    frames, expected = open_frames(tmp_path / "movie.tif"), FrameStack(movie)
    assert (frames.axes, frames.n_frames, frames.shape) == ("TYX", 6, (20, 30))
    assert frames.name == str(tmp_path / "movie.tif")
    assert frames.fingerprint == expected.fingerprint
    assert frames.normalization == expected.normalization
    for t in (5, 0, 3):
        assert np.array_equal(frames.read(t), movie[t][None])
        assert np.array_equal(frames.normalized(t), expected.normalized(t))


def test_pages_appended_one_by_one(movie: NDArray[np.uint16], tmp_path: Path) -> None:
    for frame in movie:
        tifffile.imwrite(tmp_path / "movie.tif", frame, append=True)
    assert open_frames(tmp_path / "movie.tif").fingerprint == FrameStack(movie).fingerprint


@pytest.mark.parametrize(
    ("shape", "options", "axes"),
    [
        ((3, 2, 20, 30), {"imagej": True, "metadata": {"axes": "TCYX"}}, "TCYX"),
        (
            (3, 2, 20, 30),
            {"ome": True, "metadata": {"axes": "TCYX"}, "compression": "zlib"},
            "TCYX",
        ),
        ((2, 3, 20, 30), {"ome": True, "metadata": {"axes": "CTYX"}}, "CTYX"),
        ((6, 20, 30, 3), {"photometric": "rgb"}, "TYXC"),
        ((6, 20, 30, 3), {"photometric": "rgb", "compression": "zlib"}, "TYXC"),
        ((6, 20, 30, 4), {"photometric": "rgb", "extrasamples": ["unassalpha"]}, "TYXC"),
        ((6, 3, 20, 30), {"photometric": "rgb", "planarconfig": "separate"}, "TCYX"),
        ((6, 20, 30, 3), {"imagej": True, "metadata": {"axes": "TYXS"}}, "TYXC"),
        ((1, 20, 30), {"imagej": True, "metadata": {"axes": "TYX"}}, "TYX"),
        ((1, 20, 30), {"ome": True, "metadata": {"axes": "TYX"}}, "TYX"),
        ((6, 1, 2, 20, 30), {"imagej": True, "metadata": {"axes": "TZCYX"}}, "TCYX"),
        ((3, 2, 20, 30), {"metadata": {"axes": "TCYX"}}, "TCYX"),
    ],
)
def test_channels_and_colour(
    tmp_path: Path, shape: tuple[int, ...], options: dict[str, Any], axes: str
) -> None:
    images = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    tifffile.imwrite(tmp_path / "movie.tif", images, **options)
    frames = open_frames(tmp_path / "movie.tif")
    expected = FrameStack(
        images.reshape([n for n in shape if n > 1]) if len(shape) == 5 else images, axes=axes
    )
    assert frames.axes == axes
    assert frames.n_channels == expected.n_channels
    assert frames.fingerprint == expected.fingerprint
    for t in range(frames.n_frames):
        assert np.array_equal(frames.read(t), expected.read(t))


def test_three_frames_are_no_colour_image(movie: NDArray[np.uint16], tmp_path: Path) -> None:
    options: dict[str, Any] = {"photometric": "rgb", "planarconfig": "separate"}
    tifffile.imwrite(tmp_path / "movie.tif", movie[:3], **options)
    assert open_frames(tmp_path / "movie.tif").fingerprint == FrameStack(movie[:3]).fingerprint


def test_a_stack_of_planes_may_be_time(movie: NDArray[np.uint16], tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, movie, imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(FramesError, match=r"movie\.tif' has 6 planes in Z.*axes='TYX'"):
        open_frames(path)
    assert open_frames(path, axes="TYX").fingerprint == FrameStack(movie).fingerprint


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}])
def test_pages_are_read_only_when_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    n_frames, n_bytes = 60, 256 * 256 * 2
    noise = np.random.default_rng(0).integers(0, 4000, (256, 256), np.uint16)
    with tifffile.TiffWriter(tmp_path / "movie.tif") as tiff:
        tiff.write(
            (noise + t for t in range(n_frames)),
            shape=(n_frames, 256, 256),
            dtype=np.uint16,
            **options,
        )
    pages: list[int] = []
    read_page = TiffArray.read_page
    monkeypatch.setattr(
        TiffArray, "read_page", lambda self, number: pages.append(number) or read_page(self, number)
    )
    tracemalloc.start()
    try:
        frames = open_frames(tmp_path / "movie.tif")
        assert pages == []
        budget = 4 * n_bytes
        frames = FrameStack(frames._images, cache_bytes=budget)
        for t in range(n_frames):
            assert frames.read(t)[0, 0, 0] == noise[0, 0] + t
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert pages == list(range(n_frames))
    assert peak < budget + 10 * n_bytes  # far less than the 60 frames


def test_pages_may_be_read_from_many_threads(movie: NDArray[np.uint16], tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "movie.tif", movie, compression="zlib", metadata=None)
    frames = FrameStack(open_frames(tmp_path / "movie.tif")._images, cache_bytes=0)
    wrong: list[int] = []

    def look() -> None:
        for t in list(range(6)) * 20:
            if not np.array_equal(frames.read(t)[0], movie[t]):
                wrong.append(t)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("part", [0.001, 0.05, 0.3, 0.6, 0.9, 0.97, 0.99])
@pytest.mark.parametrize("kind", KINDS)
def test_truncated_files(movie: NDArray[np.uint16], tmp_path: Path, kind: str, part: float) -> None:
    """A file that is cut off is refused, or still holds all its frames."""
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, movie, **KINDS[kind])
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    if part > 0.95:  # the end may hold no image
        with suppress(FramesError):
            assert open_frames(path).fingerprint == FrameStack(movie).fingerprint
    else:
        with pytest.raises(FramesError, match=re.escape(str(path))):
            open_frames(path)


def test_the_cause_of_truncation_is_said(movie: NDArray[np.uint16], tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, movie, compression="zlib", metadata=None)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(FramesError, match=r"'.*movie\.tif' is cut off or damaged: page 3 should"):
        open_frames(path)
    path.write_bytes(content[:-3])
    with pytest.raises(FramesError, match=r"movie\.tif': page 5 is cut off: it should end at byte"):
        open_frames(path)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}])
def test_a_file_that_shrinks_while_it_is_open(
    movie: NDArray[np.uint16], tmp_path: Path, options: dict[str, Any]
) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, movie, **options)
    frames = open_frames(path)
    assert np.array_equal(frames.read(0)[0], movie[0])
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - movie[0].nbytes)
    with pytest.raises(FramesError, match=r"Can't read frame 5 of .*Can't read page 5 of .*movie"):
        frames.read(5)


def test_a_damaged_page_is_named(movie: NDArray[np.uint16], tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, movie, compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[3].dataoffsets[0]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"nothing that could be decompressed")
    frames = open_frames(path)
    assert np.array_equal(frames.read(2)[0], movie[2])
    with pytest.raises(FramesError, match=r"Can't read frame 3 of .*Can't read page 3 of .*movie"):
        frames.read(3)


def test_what_is_no_tiff(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "movie.tif").write_text("These are no images.")
    with pytest.raises(FramesError, match=r"Can't open '.*movie\.tif' as TIFF"):
        open_frames(tmp_path / "movie.tif")
    (tmp_path / "empty.tif").touch()
    with pytest.raises(FramesError, match=r"Can't open '.*empty\.tif' as TIFF"):
        open_frames(tmp_path / "empty.tif")
    assert capfd.readouterr() == ("", "")


def test_a_single_image(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "image.tif", np.zeros((20, 30), np.uint8))
    with pytest.raises(FramesError, match=r"image\.tif' has no time axis"):
        open_frames(tmp_path / "image.tif")


def test_pages_that_differ(movie: NDArray[np.uint16], tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    with tifffile.TiffWriter(path) as tiff:
        for t in range(3):
            tiff.write(movie[t, : 20 - (t == 2)], contiguous=False)
    with pytest.raises(FramesError, match=r"Page 2 of '.*movie\.tif' is \(19, 30\) uint16"):
        open_frames(path)

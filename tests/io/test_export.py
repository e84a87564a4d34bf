from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr

from napari_vos import open_frames, open_labels, write_labels
from napari_vos.errors import FramesError, StoreError
from napari_vos.io import export

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture
def labels() -> NDArray[np.uint16]:
    return np.random.default_rng(0).integers(0, 400, (5, 20, 30)).astype(np.uint16)


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".zarr"])
def test_what_is_written_is_read_again(
    labels: NDArray[np.uint16], tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"labels{suffix}"
    for again in (labels, labels.astype(np.int64), list(labels), da.from_array(labels, chunks=7)):
        write_labels(path, again, overwrite=True)
        assert np.array_equal(np.stack(list(open_labels(path))), labels)
        assert open_frames(path).dtype == np.uint16
        assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_tiff_is_a_compressed_time_lapse(labels: NDArray[np.uint16], tmp_path: Path) -> None:
    write_labels(tmp_path / "labels.tif", np.zeros_like(labels))
    assert (tmp_path / "labels.tif").stat().st_size < labels.nbytes / 2
    with tifffile.TiffFile(tmp_path / "labels.tif") as tiff:
        assert tiff.is_imagej
        assert tiff.series[0].axes == "TYX"
        assert len(tiff.pages) == 5
        assert not tiff.is_bigtiff


def test_one_frame(labels: NDArray[np.uint16], tmp_path: Path) -> None:
    for name in ("labels.tif", "labels.zarr"):
        write_labels(tmp_path / name, labels[:1])
        assert open_labels(tmp_path / name).shape == (1, 20, 30)


def test_large_stacks_become_big_tiffs(
    labels: NDArray[np.uint16], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_MAX_CLASSIC_TIFF_BYTES", labels.nbytes - 1)
    write_labels(tmp_path / "labels.tif", labels)
    with tifffile.TiffFile(tmp_path / "labels.tif") as tiff:
        assert tiff.is_bigtiff
        assert tiff.series[0].axes == "TYX"
    assert np.array_equal(np.stack(list(open_labels(tmp_path / "labels.tif"))), labels)


def test_zarr_has_a_chunk_per_frame(labels: NDArray[np.uint16], tmp_path: Path) -> None:
    write_labels(tmp_path / "labels.zarr", labels)
    array = zarr.open_array(tmp_path / "labels.zarr", mode="r")
    assert array.chunks == (1, 20, 30)
    assert array.metadata.dimension_names == ("t", "y", "x")  # type: ignore[union-attr]


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_one_frame_is_held_at_a_time(tmp_path: Path, suffix: str) -> None:
    class Frames:
        shape = (50, 8, 9)
        dtype = np.dtype(np.uint16)

        def __init__(self) -> None:
            self.read: list[int] = []

        def __getitem__(self, t: int) -> NDArray[np.uint16]:
            self.read.append(t)
            return np.full((8, 9), t, np.uint16)

    frames = Frames()
    write_labels(tmp_path / f"labels{suffix}", frames)
    assert frames.read == list(range(50))
    assert open_labels(tmp_path / f"labels{suffix}")[49].min() == 49


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.full((20, 30), 70000), r"Frame 2 of 'labels for .*' holds the object id 70000"),
        (np.full((20, 30), -1), "Frame 2 .*negative label -1"),
        (np.zeros((20, 30)), "Frame 2 .*holds float64 numbers"),
        (np.zeros((20, 31), np.uint16), r"Frame 2 .*has shape \(20, 31\); expected \(20, 30\)"),
    ],
)
def test_frames_that_cannot_be_written(
    labels: NDArray[np.uint16], tmp_path: Path, suffix: str, frame: NDArray[Any], message: str
) -> None:
    path = tmp_path / f"labels{suffix}"
    with pytest.raises(FramesError, match=message):
        write_labels(path, [labels[0], labels[1], frame])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(0, 20, 30), (20, 30), (5, 2, 20, 30)])
def test_stacks_that_cannot_be_written(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(FramesError, match=r"labels.*labels\.tif'"):
        write_labels(tmp_path / "labels.tif", np.zeros(shape, np.uint16))


def test_nothing_to_write(tmp_path: Path) -> None:
    with pytest.raises(FramesError, match="There are no labels to write"):
        write_labels(tmp_path / "labels.tif", [])


def test_unknown_suffix(labels: NDArray[np.uint16], tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"labels\.png': expected a name ending in \.tif"):
        write_labels(tmp_path / "labels.png", labels)


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_disk_full(
    labels: NDArray[np.uint16], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / f"labels{suffix}"
    write_labels(path, labels)
    monkeypatch.setattr(tifffile.TiffWriter, "write", refuse)
    monkeypatch.setattr(zarr.Array, "__setitem__", refuse)
    message = rf"Can't write '.*labels{suffix}': No space left on device. Free some space"
    with pytest.raises(StoreError, match=message):
        write_labels(path, labels + 1, overwrite=True)
    assert np.array_equal(open_labels(path)[0], labels[0])
    assert [item.name for item in tmp_path.iterdir()] == [path.name]

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from napari_vos import FrameStack, open_frames
from napari_vos.errors import FramesError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture
def movie() -> NDArray[np.uint16]:
    return np.random.default_rng(0).integers(0, 4000, (3, 2, 20, 30), np.uint16)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_arrays(movie: NDArray[np.uint16], tmp_path: Path, zarr_format: Any, dtype: str) -> None:
    array = zarr.create_array(
        tmp_path / "movie.zarr", shape=movie.shape, dtype=dtype, zarr_format=zarr_format
    )
    array[:] = movie
    frames = open_frames(tmp_path / "movie.zarr")
    assert frames.axes == "TCYX"
    assert frames.fingerprint == FrameStack(movie).fingerprint
    assert np.array_equal(frames.read(1), movie[1])


def test_names_of_axes(movie: NDArray[np.uint16], tmp_path: Path) -> None:
    new = zarr.create_array(
        tmp_path / "new.zarr",
        shape=(2, 3, 20, 30),
        dtype="u2",
        dimension_names=("channel", "time", "y", "x"),
    )
    old = zarr.create_array(
        tmp_path / "old.zarr",
        shape=(2, 3, 20, 30),
        dtype="u2",
        zarr_format=2,
        attributes={"_ARRAY_DIMENSIONS": ["c", "t", "y", "x"]},
    )
    unknown = zarr.create_array(
        tmp_path / "unknown.zarr",
        shape=(2, 3, 20, 30),
        dtype="u2",
        dimension_names=("when", None, "row", "column"),
    )
    for array in (new, old, unknown):
        array[:] = np.moveaxis(movie, 0, 1)
    for name in ("new", "old"):
        frames = open_frames(tmp_path / f"{name}.zarr")
        assert frames.axes == "CTYX"
        assert np.array_equal(frames.read(2), movie[2])
    assert open_frames(tmp_path / "unknown.zarr").axes == "TCYX"
    assert open_frames(tmp_path / "unknown.zarr", axes="CTYX").axes == "CTYX"


@pytest.mark.parametrize("version", ["0.5", "0.4", "0.2"])
def test_ome_zarr(movie: NDArray[np.uint16], tmp_path: Path, version: str) -> None:
    zarr_format: Any = 3 if version == "0.5" else 2
    multiscale: dict[str, Any] = {"datasets": [{"path": "0"}, {"path": "1"}], "version": version}
    if version != "0.2":
        multiscale["axes"] = [{"name": name} for name in "tczyx"]
    attributes: Any = {"multiscales": [multiscale]}
    group = zarr.create_group(
        tmp_path / "movie.ome.zarr",
        zarr_format=zarr_format,
        attributes={"ome": attributes} if version == "0.5" else attributes,
    )
    for level, step in enumerate((1, 2)):
        pixels = movie[:, :, None, ::step, ::step]
        group.create_array(str(level), shape=pixels.shape, dtype="u2")[:] = pixels
    frames = open_frames(tmp_path / "movie.ome.zarr")
    assert frames.axes == "TCYX"
    assert frames.shape == (20, 30)
    assert frames.fingerprint == FrameStack(movie).fingerprint


def test_planes_are_refused(tmp_path: Path) -> None:
    zarr.create_array(
        tmp_path / "movie.zarr", shape=(3, 5, 20, 30), dtype="u2", dimension_names=tuple("tzyx")
    )
    with pytest.raises(FramesError, match=r"movie\.zarr' has 5 planes in Z"):
        open_frames(tmp_path / "movie.zarr")


def test_groups(movie: NDArray[np.uint16], tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "group.zarr")
    group.create_array("phase", shape=movie.shape, dtype="u2")[:] = movie
    frames = open_frames(tmp_path / "group.zarr")
    assert frames.fingerprint == FrameStack(movie).fingerprint
    group.create_array("nuclei", shape=movie.shape, dtype="u2")
    with pytest.raises(FramesError, match=r"group of \['nuclei', 'phase'\].*Name the one"):
        open_frames(tmp_path / "group.zarr")
    assert open_frames(tmp_path / "group.zarr" / "phase").n_frames == 3


def test_damaged(movie: NDArray[np.uint16], tmp_path: Path) -> None:
    path = tmp_path / "movie.zarr"
    array = zarr.create_array(path, shape=movie.shape, dtype="u2", chunks=(1, 2, 20, 30))
    array[:] = movie
    chunk = next((path / "c" / "1").rglob("0"))
    while chunk.is_dir():
        chunk = chunk / "0"
    chunk.write_bytes(b"nothing that could be decompressed")
    frames = open_frames(path)
    assert np.array_equal(frames.read(0), movie[0])
    with pytest.raises(FramesError, match=r"Can't read frame 1 of '.*movie\.zarr'"):
        frames.read(1)
    (path / "zarr.json").write_text("{")
    with pytest.raises(FramesError, match=r"Can't open '.*movie\.zarr' as zarr"):
        open_frames(path)
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(FramesError, match=r"Can't open '.*empty\.zarr' as zarr"):
        open_frames(tmp_path / "empty.zarr")

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_vos import FrameStack, open_frames, open_labels
from napari_vos.errors import FramesError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_movie_is_the_same_in_any_file(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 4000, (20, 32, 48), np.uint16)
    tifffile.imwrite(tmp_path / "movie.tif", images, compression="zlib")
    zarr.save_array(tmp_path / "movie.zarr", images)
    (tmp_path / "movie").mkdir()
    for t, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "movie" / f"{t}.png")
    expected = FrameStack(images)
    for name in ("movie.tif", "movie.zarr", "movie"):
        frames = open_frames(str(tmp_path / name))
        assert frames.name == str(tmp_path / name)
        assert frames.path == tmp_path / name
        assert frames.fingerprint == expected.fingerprint
        assert frames.normalization == expected.normalization
        assert np.array_equal(frames.read(9), expected.read(9))
        assert np.array_equal(frames.normalized(9), expected.normalized(9))
        assert np.array_equal(open_labels(tmp_path / name)[9], images[9])


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FramesError, match=r"There is no file or folder '.*nothing\.tif'"):
        open_frames(tmp_path / "nothing.tif")
    (tmp_path / "movie.xyz").touch()
    with pytest.raises(FramesError, match=r"files ending in '\.xyz' aren't known. Expected TIFF"):
        open_frames(tmp_path / "movie.xyz")
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "image.png")
    with pytest.raises(FramesError, match=r"image\.png' is a single image.*Open the folder"):
        open_labels(tmp_path / "image.png")


def test_axes_can_be_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "movie.tif", np.zeros((2, 9, 20, 30), np.uint8))
    with pytest.raises(FramesError, match=r"Can't tell the axes of '.*movie\.tif'"):
        open_frames(tmp_path / "movie.tif")
    assert open_frames(tmp_path / "movie.tif", axes="CTYX").n_frames == 9
    with pytest.raises(FramesError, match="name 3 dimensions"):
        open_frames(tmp_path / "movie.tif", axes="TYX")


def test_channels_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zarr.save_array(tmp_path / "movie.zarr", np.zeros((5, 4, 20, 30), np.uint8))
    monkeypatch.chdir(tmp_path)
    frames = open_frames("movie.zarr", channels=[3, 0])
    assert frames.channels == (3, 0)
    assert (frames.name, frames.path) == ("movie.zarr", tmp_path / "movie.zarr")


def test_reference_data(reference: Path) -> None:
    for folder in sorted((reference / "data").iterdir()):
        if folder.is_dir():
            frames, labels = open_frames(folder / "images.tif"), open_labels(folder / "labels.tif")
            assert labels.shape == (frames.n_frames, *frames.shape)
            assert 0 in labels.non_empty_frames()
            assert np.isfinite(frames.normalized(frames.n_frames - 1)).all()

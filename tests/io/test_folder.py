from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_vos import FrameStack, open_frames, open_labels
from napari_vos.errors import FramesError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def save(folder: Path, images: NDArray[np.generic], suffix: str) -> None:
    for t, image in enumerate(images):
        Image.fromarray(image).save(folder / f"t{t}{suffix}")


@pytest.mark.parametrize(
    ("suffix", "shape", "dtype"),
    [
        (".png", (12, 20, 30), "u1"),
        (".PNG", (12, 20, 30), "u2"),
        (".png", (12, 20, 30, 3), "u1"),
        (".png", (12, 20, 30, 4), "u1"),
        (".png", (12, 20, 30), "?"),
        (".tif", (12, 20, 30), "u1"),
        (".tiff", (12, 20, 30), "u2"),
        (".tif", (12, 20, 30), "f4"),
        (".tif", (12, 20, 30, 3), "u1"),
        (".bmp", (12, 20, 30), "u1"),
        (".bmp", (12, 20, 30, 3), "u1"),
    ],
)
def test_images_in_natural_order(
    tmp_path: Path, suffix: str, shape: tuple[int, ...], dtype: str
) -> None:
    images = np.random.default_rng(0).integers(0, 255, shape).astype(dtype)
    save(tmp_path, images, suffix)
    (tmp_path / "._t3.png").write_text("left by another system")
    (tmp_path / "notes.txt").write_text("no image")
    frames, expected = open_frames(tmp_path), FrameStack(images)
    assert frames.axes == expected.axes
    assert frames.fingerprint == expected.fingerprint
    for t in range(12):  # 2 comes before 10
        assert np.array_equal(frames.read(t), expected.read(t))


def test_jpeg(tmp_path: Path) -> None:
    save(tmp_path, np.full((3, 20, 30), 100, np.uint8), ".jpg")
    assert open_frames(tmp_path).read(2) == pytest.approx(100, abs=2)


def test_channels_in_each_file(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (3, 2, 20, 30), np.uint8)
    for t, image in enumerate(images):
        tifffile.imwrite(tmp_path / f"{t}.ome.tif", image, metadata={"axes": "CYX"})
    frames = open_frames(tmp_path)
    assert frames.axes == "TCYX"
    assert np.array_equal(frames.read(1), images[1])


def test_palettes(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 4, (3, 20, 30), np.uint8)
    palette = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]], np.uint8)
    for t, frame in enumerate(labels):
        image = Image.fromarray(frame).convert("P")
        image.putdata(frame.ravel().tolist())
        image.putpalette(palette.tobytes())
        image.save(tmp_path / f"{t:05d}.png")
    assert np.array_equal(open_labels(tmp_path)[1], labels[1])
    assert np.array_equal(open_frames(tmp_path).read(1), np.moveaxis(palette[labels[1]], -1, 0))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_shapes_that_differ(tmp_path: Path, suffix: str) -> None:
    save(tmp_path, np.zeros((3, 20, 30), np.uint8), suffix)
    Image.fromarray(np.zeros((20, 31), np.uint8)).save(tmp_path / f"t1{suffix}")
    message = rf"t1{suffix}' is \(20, 31\) uint8, but 't0{suffix}' is \(20, 30\) uint8"
    with pytest.raises(FramesError, match=message):
        open_frames(tmp_path)


def test_types_that_differ(tmp_path: Path) -> None:
    save(tmp_path, np.zeros((3, 20, 30), np.uint8), ".png")
    Image.fromarray(np.zeros((20, 30), np.uint16)).save(tmp_path / "t2.png")
    with pytest.raises(FramesError, match=r"t2\.png' is \(20, 30\) uint16, but 't0\.png'"):
        open_frames(tmp_path)


def test_stacks_in_a_folder(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "movie.tif", np.zeros((5, 20, 30), np.uint8))
    with pytest.raises(FramesError, match=r"movie\.tif' holds a stack of shape \(5, 20, 30\)"):
        open_frames(tmp_path)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_files_that_cannot_be_read(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (3, 20, 30), np.uint8)
    save(tmp_path, noise, suffix)
    file = tmp_path / f"t1{suffix}"
    content = file.read_bytes()
    frames = open_frames(tmp_path)
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(FramesError, match=rf"Can't read frame 1 of .*t1{suffix}'"):
        frames.read(1)
    file.write_text("no image")
    with pytest.raises(FramesError, match=rf"t1{suffix}'"):
        open_frames(tmp_path)


def test_a_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(FramesError, match=r"holds no images; expected one file per frame"):
        open_frames(tmp_path)

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from napari_vos import FrameStack, open_labels
from napari_vos.errors import FramesError
from napari_vos.io import LabelStack

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "u2", "i4", "u8"])
def test_labels_are_uint16(dtype: str) -> None:
    labels = np.zeros((3, 4, 5), dtype)
    labels[1, 2, 3] = 1
    stack = LabelStack(FrameStack(labels))
    assert (stack.shape, stack.ndim, len(stack)) == ((3, 4, 5), 3, 3)
    assert stack.dtype == stack[1].dtype == np.uint16
    assert [frame.sum() for frame in stack] == [0, 1, 0]
    assert stack.non_empty_frames() == [1]


def test_the_largest_id() -> None:
    labels = np.full((2, 4, 5), 65535, np.int64)
    assert LabelStack(FrameStack(labels))[0].max() == 65535


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (70000, r"Frame 1 of '.*labels\.tif' holds the object id 70000; the largest .* is 65535"),
        (-3, r"Frame 1 of '.*labels\.tif' holds the negative label -3; expected 0"),
    ],
)
def test_ids_that_cannot_be(tmp_path: Path, value: int, message: str) -> None:
    labels = np.zeros((5, 4, 6), np.int32)
    labels[1, 2, 3] = value
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    stack = open_labels(tmp_path / "labels.tif")
    assert not stack[0].any()
    with pytest.raises(FramesError, match=message):
        stack[1]
    with pytest.raises(FramesError, match=message):
        stack.non_empty_frames()


def test_stacks_that_cannot_be_labels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((5, 4, 6), np.float32))
    with pytest.raises(FramesError, match=r"float\.tif' holds float32 numbers; expected integer"):
        open_labels(tmp_path / "float.tif")
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((3, 40, 50, 3), np.uint8), photometric="rgb")
    with pytest.raises(FramesError, match=r"rgb\.tif' has 3 channels; expected labels"):
        open_labels(tmp_path / "rgb.tif")


def test_frames_outside() -> None:
    stack = LabelStack(FrameStack(np.zeros((3, 4, 5), np.uint8), name="masks"))
    with pytest.raises(FramesError, match="Frame 3 is outside 'masks'"):
        stack[3]

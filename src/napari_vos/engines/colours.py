"""Frames with any number of channels as the three that networks take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_vos.networks.compact import COLOURS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.frames import FrameStack


def colour_channels(n_channels: int) -> list[int]:
    """Return which channel is red, green and blue.

    Grey is shown as grey, two channels as red and as green and blue.
    """
    return [min(index, n_channels - 1) for index in range(COLOURS)]


def is_natural(frames: FrameStack) -> bool:
    """Tell whether frames are colour images of 8 bits: published networks take them as they are."""
    return frames.dtype == np.uint8 and len(frames.channels) == COLOURS


def unit_planes(frames: FrameStack, t: int) -> NDArray[np.float32]:
    """Return the chosen channels of frame `t`, (C, Y, X) from 0 to 1.

    Colour images of 8 bits are divided by 255, as the authors of the published
    networks do; of all others the range of the movie becomes 0 to 1.
    """
    if is_natural(frames):
        return frames.read(t)[list(frames.channels)].astype(np.float32) / np.float32(255)
    return frames.normalized(t)

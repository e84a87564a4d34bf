"""Labels drawn over the images they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_FRAME_MILLISECONDS = 120
_GOLDEN_RATIO = 0.61803
_INSIDE = 0.25
"""How opaque the colour of an object is within its outline."""


def write_overlay(path: Path, images: NDArray[np.float32], labels: NDArray[np.uint16]) -> None:
    """Write an animated GIF of grey images with each object in a colour of its own.

    Parameters
    ----------
    path
        Where to write; replaced if it exists.
    images
        (T, Y, X) float32, black at 0 and white at 1; values beyond are clipped.
    labels
        (T, Y, X) uint16.
    """
    first, *others = (Image.fromarray(picture) for picture in _draw(images, labels))
    first.save(path, save_all=True, append_images=others, duration=_FRAME_MILLISECONDS, loop=0)


def _draw(images: NDArray[np.float32], labels: NDArray[np.uint16]) -> Iterator[NDArray[np.uint8]]:
    colours = object_colours(int(labels.max()))
    for image, objects in zip(images, labels, strict=True):
        grey = np.repeat(np.clip(image, 0, 1)[..., None], 3, axis=-1)
        opacity = _INSIDE * (objects > 0)
        opacity[_outlines(objects)] = 1
        mixed = grey + opacity[..., None] * (colours[objects] - grey)
        yield (255 * mixed).astype(np.uint8)


def _outlines(objects: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Return the pixels of objects that touch something else."""
    highest, lowest = ndimage.maximum_filter(objects, 3), ndimage.minimum_filter(objects, 3)
    outlines: NDArray[np.bool_] = (objects > 0) & (highest != lowest)
    return outlines


def object_colours(n_objects: int) -> NDArray[np.float32]:
    """Return colours (n_objects + 1, 3) in [0, 1], neighbouring ids far apart in hue."""
    hue = (np.arange(n_objects + 1)[:, None] * _GOLDEN_RATIO + np.array([0, 2, 1]) / 3) % 1
    colours: NDArray[np.float32] = np.clip(np.abs(6 * hue - 3) - 1, 0.15, 1).astype(np.float32)
    return colours

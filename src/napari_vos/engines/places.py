"""Windows on the frame: where an object is looked for, what is seen there, and the way back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from napari_vos.engines.colours import colour_channels
from napari_vos.engines.windows import (
    WINDOW_SIZE,
    crop_windows,
    paste_windows,
    standardize,
    window_side,
    within_frame,
)
from napari_vos.store.evidence import Box, window_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_vos.engines.tracks import Outline

FAINTEST = 0.02
"""Probabilities below this aren't stored."""


class Place(NamedTuple):
    """A square window on the frame: centre (y, x) and side, in data pixels."""

    y: float
    x: float
    side: float


class View(NamedTuple):
    """What the network sees of one window: image (4, S, S), mask and others (1, S, S)."""

    image: Tensor
    mask: Tensor
    others: Tensor


class Found(NamedTuple):
    """What the network found in one window: probability (1, S, S), and two scores in [0, 1]."""

    probability: Tensor
    presence: float
    quality: float


def place_around(outline: Outline, extent: float) -> Place:
    """Return the window centred on an outline, as wide as an object of `extent` needs."""
    return Place(*outline.center, float(window_side(torch.tensor(extent))))


def region_of(place: Place, shape: tuple[int, int]) -> Box:
    """Return the pixels a window needs, with a margin for interpolation, inside the frame."""
    half = place.side / 2 + 2
    return Box(
        min(max(math.floor(place.y - half), 0), shape[0] - 1),
        min(max(math.floor(place.x - half), 0), shape[1] - 1),
        min(max(math.ceil(place.y + half) + 1, 1), shape[0]),
        min(max(math.ceil(place.x + half) + 1, 1), shape[1]),
    )


def crop(planes: NDArray[np.float32], region: Box, place: Place, *, outside: str) -> Tensor:
    """Resample (C, height, width) planes of `region` to (C, S, S) network pixels."""
    center = torch.tensor([[place.y - region.top, place.x - region.left]], dtype=torch.float32)
    side = torch.tensor([place.side], dtype=torch.float32)
    return crop_windows(torch.from_numpy(planes.copy())[None], center, side, outside=outside)[0]


def visible_part(place: Place, shape: tuple[int, int]) -> Tensor:
    """Return (1, S, S) float: 1 where the window shows the frame, 0 beyond its border."""
    half = place.side / 2
    if half <= place.y <= shape[0] - 1 - half and half <= place.x <= shape[1] - 1 - half:
        return torch.ones(1, WINDOW_SIZE, WINDOW_SIZE)
    center = torch.tensor([[place.y, place.x]], dtype=torch.float32)
    return within_frame(center, torch.tensor([place.side], dtype=torch.float32), shape)[0]


def look_at(planes: NDArray[np.float32], place: Place) -> Tensor:
    """Return (4, S, S), what the networks see of a frame (C, Y, X); 0 beyond its border."""
    shape = planes.shape[1], planes.shape[2]
    region = region_of(place, shape)
    window = crop(planes[:, *region.slices], region, place, outside="border")
    shown = [*colour_channels(len(planes)), -1]
    return standardize(window[None])[0][shown] * visible_part(place, shape)


def paste(
    probability: Tensor, place: Place, shape: tuple[int, int]
) -> tuple[Box, NDArray[np.float16]] | None:
    """Resample a (1, S, S) window to data pixels.

    Returns
    -------
    tuple[Box, NDArray[np.float16]] or None
        The box of all that isn't faint on a frame of `shape`, and the
        probability in it; None if there is nothing.
    """
    region = region_of(place, shape)
    center = torch.tensor([[place.y - region.top, place.x - region.left]])
    side = torch.tensor([place.side])
    pasted = paste_windows(probability[None], center, side, region.shape)[0, 0].numpy()
    inner = window_of(pasted > FAINTEST)
    if inner is None:
        return None
    box = Box(
        region.top + inner.top,
        region.left + inner.left,
        region.top + inner.bottom,
        region.left + inner.right,
    )
    return box, pasted[inner.slices].astype(np.float16)


def recenter(place: Place, probability: Tensor) -> Place | None:
    """Return a better place for a window whose object lies off its middle; None if it is good."""
    rows, columns = torch.nonzero(probability[0] > 0.5, as_tuple=True)
    if rows.numel() == 0:
        return None
    middle = (WINDOW_SIZE - 1) / 2
    y, x = float(rows.float().mean()) - middle, float(columns.float().mean()) - middle
    at_rim = (
        min(int(rows.min()), int(columns.min())) < 2
        or max(int(rows.max()), int(columns.max())) > WINDOW_SIZE - 3
    )
    if max(abs(y), abs(x)) < 0.12 * WINDOW_SIZE and not at_rim:
        return None
    unit = place.side / WINDOW_SIZE
    return Place(place.y + y * unit, place.x + x * unit, place.side * (1.25 if at_rim else 1.0))

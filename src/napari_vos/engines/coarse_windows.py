"""Masks at reduced scale: cells of an object's window, and where its border runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from napari_vos.store.evidence import Box

if TYPE_CHECKING:
    from torch import Tensor

    from napari_vos.store.evidence import ObjectEvidence

MARGIN = 1
"""Cells around an object's box into which its border may move."""

CONTRAST = 0.02
"""Difference between neighbouring cells from which a border runs there."""


@dataclass(frozen=True, eq=False)
class CoarseWindow:
    """An object's window in cells of `factor` x `factor` pixels.

    Cells that reach beyond the frame hold its outermost pixels repeated.

    Attributes
    ----------
    evidence
        What is known of the object.
    cells
        The window on the grid of cells, which begins in the frame's corner.
    factor
        Side of a cell in pixels.
    given
        (h · factor, w · factor) float32, probability of each pixel.
    coarse
        (h, w) float32, mean probability of each cell.
    """

    evidence: ObjectEvidence
    cells: Box
    factor: int
    given: Tensor
    coarse: Tensor

    @property
    def border(self) -> Tensor:
        """(h, w) bool: cells at the object's border, and those beside them."""
        coarse = self.coarse[None]
        highest = functional.max_pool2d(coarse, 3, 1, padding=1)
        lowest = -functional.max_pool2d(-coarse, 3, 1, padding=1)
        return (highest - lowest)[0] > CONTRAST

    def box_within(self, shape: tuple[int, int]) -> Box:
        """Return the window in pixels, cut by a frame of this (Y, X) shape."""
        top, left, bottom, right = (side * self.factor for side in self.cells)
        return Box(top, left, min(bottom, shape[0]), min(right, shape[1]))


def coarsen(evidence: ObjectEvidence, shape: tuple[int, int], factor: int) -> CoarseWindow:
    """Return the window of an object on a frame of this (Y, X) shape."""
    box, cells = evidence.box, cells_around(evidence.box, shape, factor)
    top, left = cells.top * factor, cells.left * factor
    height, width = cells.shape[0] * factor, cells.shape[1] * factor
    inside = min(height, shape[0] - top), min(width, shape[1] - left)
    given = np.zeros(inside, np.float32)
    given[box.top - top : box.bottom - top, box.left - left : box.right - left] = (
        evidence.probability
    )
    given = np.pad(given, ((0, height - inside[0]), (0, width - inside[1])), mode="edge")
    pixels = torch.from_numpy(given)
    return CoarseWindow(
        evidence, cells, factor, pixels, functional.avg_pool2d(pixels[None], factor)[0]
    )


def cells_around(box: Box, shape: tuple[int, int], factor: int) -> Box:
    """Return the cells of an object's box, and a margin, on a frame of this (Y, X) shape."""
    rows, columns = grid_shape(shape, factor)
    return Box(
        max(box.top // factor - MARGIN, 0),
        max(box.left // factor - MARGIN, 0),
        min(-(-box.bottom // factor) + MARGIN, rows),
        min(-(-box.right // factor) + MARGIN, columns),
    )


def grid_shape(shape: tuple[int, int], factor: int) -> tuple[int, int]:
    """Return how many rows and columns of cells cover a frame."""
    return -(-shape[0] // factor), -(-shape[1] // factor)


def enlarge(planes: Tensor, scale: int) -> Tensor:
    """Return (..., h · scale, w · scale), bilinear by half pixels, from (C, h, w) or (h, w)."""
    stacked = planes if planes.ndim == 3 else planes[None]
    enlarged = functional.interpolate(
        stacked[None], scale_factor=scale, mode="bilinear", align_corners=False
    )[0]
    return enlarged if planes.ndim == 3 else enlarged[0]


def repeat_cells(cells: Tensor, scale: int) -> Tensor:
    """Return (..., h · scale, w · scale) with each entry of (..., h, w) repeated."""
    return cells.repeat_interleave(scale, -2).repeat_interleave(scale, -1)


def believed(coarse: Tensor, given: Tensor, scale: int) -> Tensor:
    """Return the probability (..., h · scale, w · scale) that masks tell at a scale.

    It is that of the coarse mask (..., h, w). Where the mask as it was given, at full
    size, divides a cell otherwise, on the other side of 0.5, it is mirrored: so what is
    finer than a cell stays where the image doesn't say otherwise.
    """
    probability = enlarge(coarse, scale)
    pixels = given.shape[-1] // probability.shape[-1]
    shares = functional.avg_pool2d(given if given.ndim == 3 else given[None], pixels)
    is_inside = shares.view_as(probability) > 0.5
    divided = repeat_cells((coarse > 0) & (coarse < 1), scale)
    finer = divided & ((probability > 0.5) != is_inside)
    return torch.where(finer, 1 - probability, probability)

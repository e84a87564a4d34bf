"""Points on maps: their features, how uncertain a prediction is there, the most uncertain ones.

A point is (x, y) in [0, 1], the frame's corners at 0 and 1.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def sample_points(
    maps: Tensor, points: Tensor, *, mode: str = "bilinear", align_corners: bool = False
) -> Tensor:
    """Return what maps hold at points; 0 outside.

    Parameters
    ----------
    maps
        (B, C, H, W).
    points
        (B, N, 2).
    mode
        "bilinear" or "nearest"; halves are rounded to even.
    align_corners
        Whether 0 and 1 are the centres of the outermost pixels, instead of
        their outer borders.

    Returns
    -------
    Tensor
        (B, C, N).
    """
    grid = (2 * points - 1)[:, :, None]
    return functional.grid_sample(maps, grid, mode=mode, align_corners=align_corners)[..., 0]


def uncertainty(logits: Tensor) -> Tensor:
    """Return how undecided predictions are, at most 0.

    Parameters
    ----------
    logits
        (B, C, ...): of C classes, or of one object against the background.

    Returns
    -------
    Tensor
        (B, ...): minus the distance of the best class to the second best, or
        of the one logit to 0.
    """
    if logits.shape[1] == 1:
        return -logits[:, 0].abs()
    best = logits.topk(2, dim=1).values
    return best[:, 1] - best[:, 0]


def most_uncertain_cells(logits: Tensor, n_points: int) -> tuple[Tensor, Tensor]:
    """Return flat indices (B, N) of the most uncertain cells of (B, C, H, W), and their centres.

    The centres are points (B, N, 2). N is `n_points`, or all cells if they are
    fewer.
    """
    height, width = logits.shape[-2:]
    cells = uncertainty(logits).flatten(1).topk(min(n_points, height * width), dim=1).indices
    return cells, centers_of(cells, (height, width))


def centers_of(cells: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return the centres (..., 2) of cells, by flat index, of a grid of this (height, width)."""
    height, width = shape
    x, y = cells % width, cells.div(width, rounding_mode="floor")
    return torch.stack([(x + 0.5) / width, (y + 0.5) / height], dim=-1)

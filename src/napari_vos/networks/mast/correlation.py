"""Dot products of every feature with those around its place in another frame."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

TILE = 8
"""Side of the squares of positions that are multiplied with all their neighbours at once."""


def correlate(query: Tensor, reference: Tensor, *, radius: int, dilation: int = 1) -> Tensor:
    """Return the dot products of features with those of a window around each.

    Parameters
    ----------
    query
        (B, C, H, W) float.
    reference
        (B, C, H + 2m, W + 2m) float, with a margin m of `radius` · `dilation`.
    radius
        The window has 2 · `radius` + 1 features on each side.
    dilation
        Features from one candidate to the next.

    Returns
    -------
    Tensor
        (B, H, W, 2 · `radius` + 1, 2 · `radius` + 1).
    """
    if dilation == 1:
        return _correlate_tiles(query, reference, radius)
    batch, _, height, width = query.shape
    side = 2 * radius + 1
    correlation = query.new_empty(batch, height, width, side, side)
    # Candidates of a position are on its own grid of that spacing, and only there.
    for y, x in product(range(min(dilation, height)), range(min(dilation, width))):
        grid = (slice(None), slice(None), slice(y, None, dilation), slice(x, None, dilation))
        correlation[:, grid[2], grid[3]] = _correlate_tiles(query[grid], reference[grid], radius)
    return correlation


def _correlate_tiles(query: Tensor, reference: Tensor, radius: int) -> Tensor:
    batch, depth, height, width = query.shape
    padding = (0, -width % TILE, 0, -height % TILE)
    tiles = functional.pad(query, padding).unfold(2, TILE, TILE).unfold(3, TILE, TILE)
    patch = TILE + 2 * radius
    patches = functional.pad(reference, padding).unfold(2, patch, TILE).unfold(3, patch, TILE)
    rows, columns = tiles.shape[2:4]
    products = tiles.permute(0, 2, 3, 4, 5, 1).reshape(-1, TILE * TILE, depth) @ (
        patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, depth, patch * patch)
    )
    # Of all pairs in a tile those that are near: neighbour = position + candidate.
    side = 2 * radius + 1
    y, x = TILE * patch**2, patch**2
    near = products.as_strided(
        (batch * rows * columns, TILE, TILE, side, side),
        (TILE * y, y + patch, x + 1, patch, 1),
    )
    near = near.reshape(batch, rows, columns, TILE, TILE, side, side).transpose(2, 3)
    near = near.reshape(batch, rows * TILE, columns * TILE, side, side)
    return near[:, :height, :width]

"""Parts of MiVOS in tiles that give the numbers of the whole frame.

All but the reading of memories looks no further than `HALO` pixels. So a tile
that is computed with as much around it is the same as if the whole frame had
been there, and nothing has to be merged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from napari_vos.networks.mivos.propagation import STRIDE
from napari_vos.store.evidence import Box

if TYPE_CHECKING:
    from torch import Tensor

HALO = 160
"""Pixels around a tile that decide on it: half of the 299 that a key of the encoders sees, in
whole cells. The decoder and the fusion network see less."""


def tile_sides(side: int | None, size: tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) of the tiles of a frame, in whole cells; the frame's if None."""
    if side is None:
        return size
    height, width = (min(-(-side // STRIDE) * STRIDE, whole) for whole in size)
    return height, width


def largest_part(side: int | None, size: tuple[int, int]) -> int:
    """Return how many pixels are in work at a time."""
    tile = tile_sides(side, size)
    height, width = (min(each + 2 * HALO, whole) for each, whole in zip(tile, size, strict=True))
    return height * width


def computed_share(side: int | None, size: tuple[int, int]) -> float:
    """Return how many times the frame is computed, halos and all."""
    seen = [box.shape for _, box in _tiles(size, tile_sides(side, size))]
    return sum(height * width for height, width in seen) / (size[0] * size[1])


def in_tiles(
    function: Callable[..., Sequence[Tensor]],
    planes: Sequence[Tensor],
    *,
    side: int | None,
    size: tuple[int, int],
) -> list[Tensor]:
    """Call a function of planes tile by tile.

    Parameters
    ----------
    function
        Takes one tensor for each of `planes` and returns some, none of which
        depends on anything further away than `HALO`.
    planes
        (B, C, H/s, W/s) each, with strides s that divide `STRIDE`.
    side
        Of a tile, in pixels; None to call the function once.
    size
        (H, W), multiples of `STRIDE`.
    """
    tiles = tile_sides(side, size)
    if tiles == size:
        return list(function(*planes))
    whole: list[Tensor] = []
    for tile, seen in _tiles(size, tiles):
        parts = function(*(plane[_within(seen, size[0] // plane.shape[2])] for plane in planes))
        inner = Box(*(x - y for x, y in zip(tile, (seen.top, seen.left) * 2, strict=True)))
        strides = [seen.shape[0] // part.shape[2] for part in parts]
        whole = whole or [
            part.new_empty(*part.shape[:2], size[0] // stride, size[1] // stride)
            for part, stride in zip(parts, strides, strict=True)
        ]
        for target, part, stride in zip(whole, parts, strides, strict=True):
            target[_within(tile, stride)] = part[_within(inner, stride)]
    return whole


def _tiles(size: tuple[int, int], sides: tuple[int, int]) -> Iterator[tuple[Box, Box]]:
    """Yield the tiles of a frame, and what is computed of it for each."""
    height, width = size
    for top in range(0, height, sides[0]):
        for left in range(0, width, sides[1]):
            tile = Box(top, left, min(top + sides[0], height), min(left + sides[1], width))
            yield (
                tile,
                Box(
                    max(0, tile.top - HALO),
                    max(0, tile.left - HALO),
                    min(height, tile.bottom + HALO),
                    min(width, tile.right + HALO),
                ),
            )


def _within(box: Box, stride: int) -> tuple[slice, ...]:
    rows, columns = Box(*(side // stride for side in box)).slices
    return slice(None), slice(None), rows, columns

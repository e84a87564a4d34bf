"""Features of a frame, computed along borders only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from napari_vos.engines.coarse_windows import enlarge, repeat_cells
from napari_vos.engines.windows import standardize
from napari_vos.networks.pointrend import sample_points
from napari_vos.networks.refinement import (
    LAYOUT_CHANNELS,
    REACH,
    STRIDES,
    RefinementNetwork,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

TILE = 64
"""Side of a tile in pixels, a multiple of every factor."""

RIM = 4
"""Pixels around a tile that are kept too, so that points at its edge find neighbours."""

HALO = RIM + REACH + 1
"""Pixels around a tile that the network sees."""

BATCH_SIZE = 8
"""Tiles computed at once."""


class BorderFeatures:
    """Feature maps of a frame, filled only in tiles that hold a border.

    Time grows with the length of borders. What isn't filled is never touched,
    so neither does it take memory on most systems.

    Parameters
    ----------
    network
        Makes the features.
    image
        (3, H, W) float.
    layout
        (2, h, w), what the network knows of the frame's coarse masks; a cell has
        `factor` x `factor` pixels.
    borders
        (h, w) bool: the cells in which features are wanted.
    factor
        Side of a cell in pixels.

    Attributes
    ----------
    told
        (h, w) bool, the cells of `borders` about which the image says anything:
        not those in tiles without any contrast.
    """

    def __init__(
        self,
        network: RefinementNetwork,
        image: Tensor,
        layout: Tensor,
        borders: Tensor,
        factor: int,
    ) -> None:
        cells = TILE // factor
        tiles = functional.max_pool2d(borders[None].float(), cells, ceil_mode=True)[0].bool()
        rows, columns = (TILE * count for count in tiles.shape)
        height, width = image.shape[-2:]
        ends = (HALO, HALO + columns - width, HALO, HALO + rows - height)
        drawn = enlarge(layout, factor)[:, :height, :width]
        padded = functional.pad(torch.cat([image, drawn])[None], ends, mode="replicate")[0]
        self._size = rows + 2 * RIM, columns + 2 * RIM
        self._maps = [
            image.new_zeros(1, depth, self._size[0] // stride, self._size[1] // stride)
            for depth, stride in zip(network.widths, STRIDES, strict=True)
        ]
        for batch in _crops(padded, tiles):
            self._fill(network, padded, tiles, batch)
        self.told = borders & repeat_cells(tiles, cells)[: borders.shape[0], : borders.shape[1]]

    def _fill(
        self, network: RefinementNetwork, padded: Tensor, tiles: Tensor, batch: list[list[int]]
    ) -> None:
        """Compute a batch of tiles; strike those without contrast off `tiles`."""
        side = TILE + 2 * HALO
        crops = torch.stack(
            [padded[:, TILE * i : TILE * i + side, TILE * j : TILE * j + side] for i, j in batch]
        )
        pictures, drawn = crops[:, :-LAYOUT_CHANNELS], crops[:, -LAYOUT_CHANNELS:]
        flat = (pictures.amax(dim=(1, 2, 3)) == pictures.amin(dim=(1, 2, 3))).tolist()
        features = network.encode(standardize(pictures), drawn)
        for number, (i, j) in enumerate(batch):
            if flat[number]:
                tiles[i, j] = False
                continue
            for kept, computed, stride in zip(self._maps, features, STRIDES, strict=True):
                inner, length = (HALO - RIM) // stride, (TILE + 2 * RIM) // stride
                top, left = TILE * i // stride, TILE * j // stride
                kept[0, :, top : top + length, left : left + length] = computed[
                    number, :, inner : inner + length, inner : inner + length
                ]

    def sample(self, positions: Tensor) -> Tensor:
        """Return the features (1, D, N) at (N, 2) positions.

        Positions are (y, x) in pixels from the frame's corner, so that pixel
        centres are at halves.
        """
        height, width = self._size
        points = (positions.flip(-1) + RIM) / positions.new_tensor([width, height])
        return torch.cat([sample_points(maps, points[None]) for maps in self._maps], dim=1)


def _crops(padded: Tensor, tiles: Tensor) -> Iterator[list[list[int]]]:
    """Yield batches of (row, column) of the tiles that are wanted."""
    wanted: list[list[int]] = tiles.nonzero().tolist()
    for start in range(0, len(wanted), BATCH_SIZE):
        yield wanted[start : start + BATCH_SIZE]

"""Priors: the boxes that predicted ones are corrections of."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Anchors:
    """The shapes of the priors of each level.

    Attributes
    ----------
    scales
        For each level the square roots of the priors' areas, in pixels of the
        network's input.
    ratios
        Width by height.
    square
        Whether the height is that of the width, whatever the ratio says: so were
        the base models trained.
    """

    scales: tuple[tuple[float, ...], ...]
    ratios: tuple[float, ...] = (1, 1 / 2, 2)
    square: bool = False

    @property
    def per_position(self) -> int:
        """Priors at each position of a level."""
        return len(self.scales[0]) * len(self.ratios)


def make_priors(
    anchors: Anchors, cells: Iterable[tuple[int, int]], size: int, device: torch.device
) -> Tensor:
    """Return all priors.

    Parameters
    ----------
    anchors
        Their shapes.
    cells
        (height, width) of each level.
    size
        Side of the network's input.
    device
        Where to make them.

    Returns
    -------
    Tensor
        (N, 4) float32, (cx, cy, w, h) as shares of the input: level by level,
        row by row, at each position scale by scale with all ratios.
    """
    priors = []
    for (height, width), scales in zip(cells, anchors.scales, strict=True):
        shapes = torch.tensor(
            [
                _sides(scale / size, ratio, anchors.square)
                for scale in scales
                for ratio in anchors.ratios
            ],
            device=device,
        )
        y = (torch.arange(height, device=device) + 0.5) / height
        x = (torch.arange(width, device=device) + 0.5) / width
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        centres = torch.stack([columns, rows], dim=-1)[:, :, None].expand(-1, -1, len(shapes), -1)
        priors.append(torch.cat([centres, shapes.expand_as(centres)], dim=-1).flatten(0, 2))
    return torch.cat(priors)


def _sides(scale: float, ratio: float, square: bool) -> tuple[float, float]:
    width = scale * math.sqrt(ratio)
    return width, width if square else scale / math.sqrt(ratio)

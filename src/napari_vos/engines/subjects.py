"""An object that is refined: what is doubtful about it, and what its coarse mask tells."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from napari_vos.engines.coarse_windows import enlarge, repeat_cells
from napari_vos.networks.pointrend import sample_points
from napari_vos.networks.refinement import Known, neighbourhoods

if TYPE_CHECKING:
    from torch import Tensor

    from napari_vos.engines.coarse_windows import CoarseWindow
    from napari_vos.store.evidence import ObjectEvidence

DOUBT = 0.45
"""A cell is predicted anew if its probability is nearer to 0.5 than this."""


@dataclass(frozen=True, eq=False)
class Subject:
    """An object that is refined.

    Attributes
    ----------
    window
        The object's coarse mask.
    near
        (h, w) bool, the cells that may change.
    others
        (h, w) float32 in [0, 1], the coarse masks of all others.
    """

    window: CoarseWindow
    near: Tensor
    others: Tensor

    def doubtful(self, probability: Tensor, own: Tensor, scale: int) -> Tensor:
        """Return (h · scale, w · scale) bool: the cells to predict anew.

        Parameters
        ----------
        probability
            What is believed by now.
        own
            What the mask tells; see `believed`.
        scale
            Into how many rows and columns a coarse cell is divided.
        """
        unsure = (probability - 0.5).abs() < DOUBT
        finer = (probability > 0.5) != (own > 0.5)
        return (unsure | finer) & repeat_cells(self.near, scale)

    def known(self, own: Tensor, cells: Tensor, scale: int) -> Known:
        """Return what the network is told at N cells (N, 2), (row, column), of a scale.

        `own` is (N,), what the mask tells there.
        """
        height, width = self.others.shape
        corners = torch.tensor([width, height])
        inside = ((cells.flip(-1) + 0.5) / scale).clamp(min=0.5).minimum(corners - 0.5)
        points = (inside / corners)[None]
        rows, columns = cells.unbind(dim=-1)
        others = enlarge(self.others, scale)[rows, columns]
        pixels = self.window.factor // scale
        given = functional.avg_pool2d(self.window.given[None], pixels)[0, rows, columns]
        around = sample_points(neighbourhoods(self.window.coarse[None]), points)
        octaves = torch.full_like(own, math.log2(self.window.factor))
        return Known(own[None], others[None], given[None], octaves[None], around)

    def places(self, cells: Tensor, scale: int) -> Tensor:
        """Return (N, 2) (y, x), in pixels from the frame's corner, of cells (row, column)."""
        corner = torch.tensor(self.window.cells[:2])
        return (cells + 0.5) * (self.window.factor / scale) + corner * self.window.factor

    def sharpened(
        self, refined: Tensor, shape: tuple[int, int], *, certainty: float
    ) -> ObjectEvidence:
        """Return the object as it was, but refined along its border.

        A pixel for which the new side isn't certain enough stays as it was.
        """
        given = self.window.given
        changed = (refined > 0.5) != (given > 0.5)
        unsure = (refined - 0.5).abs() < certainty - 0.5
        near = repeat_cells(self.near, self.window.factor)
        probability = torch.where(near & ~(changed & unsure), refined, given)
        box = self.window.box_within(shape)
        height, width = box.shape
        return replace(
            self.window.evidence,
            box=box,
            probability=probability[:height, :width].numpy().astype(np.float16),
        )

"""Losses of the prototypes by themselves, tried by the authors; no published model has them.

`prototypes` are (B, H, W, 32).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

EXPECTED_SHARE = (20 / 70) ** 2
"""Of its pixels that a prototype is expected to be bright on."""

AREA_WEIGHT = 0.1


def area_loss(prototypes: Tensor) -> Tensor:
    """Return how bright prototypes are in the mean (L1): they are to be dark but where needed."""
    return AREA_WEIGHT * prototypes.abs().mean() / EXPECTED_SHARE


def disjoint_loss(prototypes: Tensor) -> Tensor:
    """Return how far each pixel is from belonging to one prototype alone."""
    return -prototypes.log_softmax(dim=-1).amax(dim=-1).mean()

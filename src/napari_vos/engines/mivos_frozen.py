"""Objects that a round doesn't move, as those see them that it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import torch

from napari_vos.networks.mivos.aggregation import SMALLEST

if TYPE_CHECKING:
    from torch import Tensor


class Frozen(NamedTuple):
    """All frozen objects of a frame in three planes, however many there are: (1, 1, H, W) each.

    Attributes
    ----------
    total
        The sum of their masks.
    absent
        The probability that none of them is there.
    odds
        The sum of their odds.
    """

    total: Tensor
    absent: Tensor
    odds: Tensor

    @classmethod
    def of(cls, masks: Tensor) -> Self:
        """Return the objects with these masks (F, 1, H, W) in [0, 1]."""
        clamped = masks.clamp(SMALLEST, 1 - SMALLEST)
        return cls(
            masks.sum(dim=0, keepdim=True),
            (1 - masks).prod(dim=0, keepdim=True),
            (clamped / (1 - clamped)).sum(dim=0, keepdim=True),
        )

    def joined(self, other: Frozen) -> Frozen:
        """Return the objects of both."""
        return Frozen(self.total + other.total, self.absent * other.absent, self.odds + other.odds)


def compete(objects: Tensor, frozen: Frozen) -> Tensor:
    """Make objects compete for each pixel with each other and with the frozen ones.

    As `networks.mivos.aggregate` of all of them, without the frozen ones in the
    result.

    Parameters
    ----------
    objects
        (K, 1, H, W) in [0, 1], each as if it were alone.
    frozen
        All others.

    Returns
    -------
    Tensor
        (K+1, 1, H, W) float32, background first. Without frozen objects this
        sums to 1 at each pixel.
    """
    background = (1 - objects).prod(dim=0, keepdim=True) * frozen.absent
    logits = torch.cat([background, objects]).clamp(SMALLEST, 1 - SMALLEST).logit()
    return torch.softmax(torch.cat([logits, frozen.odds.log()]), dim=0)[: len(logits)]

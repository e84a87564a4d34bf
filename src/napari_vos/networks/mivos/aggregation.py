"""Soft aggregation: independent object probabilities become one distribution per pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST = 1e-7
"""Probabilities are clamped to [this, 1 - this] before log-odds are taken."""

HARDNESS = 1000
"""What hard aggregation multiplies log-odds with: all but the winner come to nothing."""


def aggregate(
    probabilities: Tensor, *, static_background: bool = False, hard: bool = False
) -> Tensor:
    """Make objects compete for each pixel: a softmax over the log-odds of all classes.

    Parameters
    ----------
    probabilities
        (K, 1, H, W) in [0, 1], each object as if it were alone.
    static_background
        Whether the background has probability 0.5 everywhere. If not, it has
        that of no object being there: the product of the complements.
    hard
        Whether the winner takes all.

    Returns
    -------
    Tensor
        (K+1, 1, H, W) float32, background first; sums to 1 over the classes.
    """
    objects = probabilities.float()  # in half precision the clamp would have no effect
    background = (
        torch.full_like(objects[:1], 0.5)
        if static_background
        else (1 - objects).prod(dim=0, keepdim=True)
    )
    logits = torch.cat([background, objects]).clamp(SMALLEST, 1 - SMALLEST).logit()
    return torch.softmax(logits * HARDNESS if hard else logits, dim=0)

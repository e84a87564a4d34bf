"""Losses and scores of masks that several recipes share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Return cross entropy and Jaccard loss of (B, 1, H, W) masks, a mean over the batch.

    Parameters
    ----------
    logits, truth
        (B, 1, H, W), the truth in [0, 1].
    """
    probability = logits.sigmoid()
    overlap = (probability * truth).sum(dim=(1, 2, 3))
    union = (probability + truth - probability * truth).sum(dim=(1, 2, 3))
    pixel = functional.binary_cross_entropy_with_logits(logits, truth)
    return 3 * pixel + (1 - (overlap + 1) / (union + 1)).mean()


@torch.no_grad()
def mean_jaccard(found: Tensor, truth: Tensor) -> Tensor:
    """Return the mean J of (B, 1, H, W) bool masks against truths in [0, 1]."""
    there = truth > 0.5
    both = (found & there).sum(dim=(1, 2, 3))
    return (both / (found | there).sum(dim=(1, 2, 3)).clamp(min=1)).mean()

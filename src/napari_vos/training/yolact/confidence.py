"""Losses of the class scores: hard negatives, or all priors with the easy ones played down.

Focal losses: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017. All
are sums over priors, to be divided by the number of positive ones.

`logits` are (B, N, classes) with the background first, `classes` (B, N) the
targets of `match`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_vos.training.yolact.matching import BACKGROUND, NEUTRAL

NEGATIVES = 3
"""Hard negatives for each positive prior of an image."""

ALPHA = 0.25
"""Weight of what is there; what isn't has 1 - ALPHA."""

GAMMA = 2.0
"""Power of how wrong a score is, with which it is weighted."""


def mined_cross_entropy(logits: Tensor, classes: Tensor, *, negatives: int = NEGATIVES) -> Tensor:
    """Return the cross entropy of positives and the hardest negatives of each image."""
    with torch.no_grad():
        hardness = logits.logsumexp(dim=-1) - logits[..., 0]
        hardness[classes != BACKGROUND] = -torch.inf
        n_hard = negatives * (classes > BACKGROUND).sum(dim=1)
        rank = hardness.argsort(dim=1, descending=True).argsort(dim=1)
        hard = (rank < n_hard[:, None]) & (classes == BACKGROUND)
    chosen = hard | (classes > BACKGROUND)
    return functional.cross_entropy(logits[chosen], classes[chosen], reduction="sum")


def focal_loss(
    logits: Tensor, classes: Tensor, *, alpha: float = ALPHA, gamma: float = GAMMA
) -> Tensor:
    """Return the focal loss of a softmax over all classes and the background."""
    judged = classes != NEUTRAL
    logits, classes = logits[judged], classes[judged]
    log_probs = -functional.cross_entropy(logits, classes, reduction="none")
    weight = _weights(classes > BACKGROUND, alpha)
    return -(weight * (1 - log_probs.exp()) ** gamma * log_probs).sum()


def sigmoid_focal_loss(
    logits: Tensor, classes: Tensor, *, alpha: float = ALPHA, gamma: float = GAMMA
) -> Tensor:
    """Return the focal loss of each class by itself; background is what no class claims.

    The logit of the background is not used.
    """
    judged = classes != NEUTRAL
    n_classes = logits.shape[-1]
    is_class = functional.one_hot(classes[judged], n_classes)[:, 1:].bool()
    return _binary_focal_loss(logits[judged][:, 1:], is_class, alpha, gamma)


def objectness_loss(
    logits: Tensor, classes: Tensor, *, alpha: float = ALPHA, gamma: float = GAMMA
) -> Tensor:
    """Return the focal loss of "something is here", and the cross entropy of what it is.

    The first logit says how likely there is something; the others are the
    classes, among which positive priors decide.
    """
    judged, positive = classes != NEUTRAL, classes > BACKGROUND
    there = _binary_focal_loss(logits[judged][:, 0], positive[judged], alpha, gamma)
    kind = functional.cross_entropy(logits[positive][:, 1:], classes[positive] - 1, reduction="sum")
    return there + kind


def _binary_focal_loss(logits: Tensor, truth: Tensor, alpha: float, gamma: float) -> Tensor:
    log_probs = functional.logsigmoid(torch.where(truth, logits, -logits))
    return -(_weights(truth, alpha) * (1 - log_probs.exp()) ** gamma * log_probs).sum()


def _weights(truth: Tensor, alpha: float) -> Tensor:
    return truth * alpha + ~truth * (1 - alpha)

"""Class scores from logits; which way is right depends on the loss a network learned with.

All take logits (..., classes) with the background first and return scores
(..., classes - 1) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def softmax_scores(logits: Tensor) -> Tensor:
    """Return shares of one distribution: cross entropy, focal loss, all published models."""
    return logits.softmax(dim=-1)[..., 1:]


def sigmoid_scores(logits: Tensor) -> Tensor:
    """Return what each class claims by itself: sigmoid focal loss."""
    return logits[..., 1:].sigmoid()


def objectness_scores(logits: Tensor) -> Tensor:
    """Return shares of how likely there is something, which the first logit says: objectness."""
    return logits[..., :1].sigmoid() * logits[..., 1:].softmax(dim=-1)


CLASS_SCORES: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": softmax_scores,
    "sigmoid": sigmoid_scores,
    "objectness": objectness_scores,
}
"""These, by name."""

"""What YOLACT learns from: matching of priors with instances, and the loss."""

from napari_vos.training.yolact.confidence import (
    focal_loss,
    mined_cross_entropy,
    objectness_loss,
    sigmoid_focal_loss,
)
from napari_vos.training.yolact.loss import Losses, YolactLoss
from napari_vos.training.yolact.matching import Match, Truth, match

__all__ = [
    "Losses",
    "Match",
    "Truth",
    "YolactLoss",
    "focal_loss",
    "match",
    "mined_cross_entropy",
    "objectness_loss",
    "sigmoid_focal_loss",
]

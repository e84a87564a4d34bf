"""What YOLACT learns from: matching of priors with instances, and the loss."""

from napari_vos.training.yolact.confidence import (
    focal_loss,
    mined_cross_entropy,
    objectness_loss,
    sigmoid_focal_loss,
)
from napari_vos.training.yolact.loss import Losses, YolactLoss
from napari_vos.training.yolact.masks import MaskComparison
from napari_vos.training.yolact.matching import Match, Truth, match
from napari_vos.training.yolact.prototypes import area_loss, disjoint_loss

__all__ = [
    "Losses",
    "MaskComparison",
    "Match",
    "Truth",
    "YolactLoss",
    "area_loss",
    "disjoint_loss",
    "focal_loss",
    "match",
    "mined_cross_entropy",
    "objectness_loss",
    "sigmoid_focal_loss",
]

"""YOLACT and YOLACT++: instances in one pass (Bolya et al., ICCV 2019 and TPAMI 2020)."""

from napari_vos.networks.yolact.detection import (
    Instances,
    finish,
    select_candidates,
    small_masks,
)
from napari_vos.networks.yolact.images import prepare_images
from napari_vos.networks.yolact.masks import ACTIVATIONS
from napari_vos.networks.yolact.network import (
    CELLS,
    COCO_CLASSES,
    DESIGNS,
    SIZE,
    Design,
    Prediction,
    Yolact,
)
from napari_vos.networks.yolact.priors import Anchors, make_priors
from napari_vos.networks.yolact.scores import (
    CLASS_SCORES,
    objectness_scores,
    sigmoid_scores,
    softmax_scores,
)
from napari_vos.networks.yolact.suppression import (
    Candidates,
    Detections,
    suppress_across_classes,
    suppress_fast,
    suppress_one_by_one,
)

__all__ = [
    "ACTIVATIONS",
    "CELLS",
    "CLASS_SCORES",
    "COCO_CLASSES",
    "DESIGNS",
    "SIZE",
    "Anchors",
    "Candidates",
    "Design",
    "Detections",
    "Instances",
    "Prediction",
    "Yolact",
    "finish",
    "make_priors",
    "objectness_scores",
    "prepare_images",
    "select_candidates",
    "sigmoid_scores",
    "small_masks",
    "softmax_scores",
    "suppress_across_classes",
    "suppress_fast",
    "suppress_one_by_one",
]

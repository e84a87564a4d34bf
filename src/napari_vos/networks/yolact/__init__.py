"""YOLACT and YOLACT++: instances in one pass (Bolya et al., ICCV 2019 and TPAMI 2020)."""

from napari_vos.networks.yolact.detection import Instances, finish, select_candidates
from napari_vos.networks.yolact.images import prepare_images
from napari_vos.networks.yolact.network import (
    COCO_CLASSES,
    DESIGNS,
    SIZE,
    Design,
    Prediction,
    Yolact,
)
from napari_vos.networks.yolact.priors import Anchors, make_priors
from napari_vos.networks.yolact.suppression import (
    Candidates,
    Detections,
    suppress_across_classes,
    suppress_fast,
    suppress_one_by_one,
)

__all__ = [
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
    "prepare_images",
    "select_candidates",
    "suppress_across_classes",
    "suppress_fast",
    "suppress_one_by_one",
]

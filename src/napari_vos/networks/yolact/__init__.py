"""YOLACT and YOLACT++: instances in one pass (Bolya et al., ICCV 2019 and TPAMI 2020)."""

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

__all__ = [
    "COCO_CLASSES",
    "DESIGNS",
    "SIZE",
    "Anchors",
    "Design",
    "Prediction",
    "Yolact",
    "make_priors",
    "prepare_images",
]

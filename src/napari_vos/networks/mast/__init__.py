"""MAST: dense correspondence learned without labels (Lai, Lu, Xie, CVPR 2020)."""

from napari_vos.networks.mast.colour import (
    drop_channel,
    full_size,
    grey_to_bands,
    reconstruction_loss,
    rgb_to_lab,
)
from napari_vos.networks.mast.features import DEPTH, STRIDE, Mast, MastSmall
from napari_vos.networks.mast.reading import RADIUS, Reference, read, read_labels
from napari_vos.networks.mast.schedule import reference_frames

__all__ = [
    "DEPTH",
    "RADIUS",
    "STRIDE",
    "Mast",
    "MastSmall",
    "Reference",
    "drop_channel",
    "full_size",
    "grey_to_bands",
    "read",
    "read_labels",
    "reconstruction_loss",
    "reference_frames",
    "rgb_to_lab",
]

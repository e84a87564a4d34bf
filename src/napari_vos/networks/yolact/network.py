"""YOLACT: instances as linear combinations of prototype masks.

Bolya et al., "YOLACT: Real-time Instance Segmentation", ICCV 2019, and "YOLACT++:
Better Real-time Instance Segmentation", TPAMI 2020. Names of attributes follow
the keys of the authors' checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from napari_vos.networks.yolact.backbones import DarkNet, ResNet
from napari_vos.networks.yolact.heads import PredictionHead, prototype_network
from napari_vos.networks.yolact.maskiou import MaskIouNetwork
from napari_vos.networks.yolact.priors import Anchors, make_priors
from napari_vos.networks.yolact.pyramid import DEPTH, FeaturePyramid

SIZE = 550
"""Side of the input that the published models were trained with."""

COCO_CLASSES = 81
"""With the background."""

LEVEL_SCALES = (24.0, 48.0, 96.0, 192.0, 384.0)
BASE_ANCHORS = Anchors(tuple((scale,) for scale in LEVEL_SCALES), square=True)
PLUS_ANCHORS = Anchors(
    tuple(tuple(scale * 2 ** (third / 3) for third in range(3)) for scale in LEVEL_SCALES)
)
CELL_ANCHORS = Anchors(tuple((scale, scale * 2**0.5) for scale in (8.0, 16.0, 32.0, 64.0, 128.0)))


@dataclass(frozen=True)
class Design:
    """What models differ in.

    Attributes
    ----------
    backbone
        The trunk.
    anchors
        Shapes of the priors.
    deformable_every
        See `ResNet`.
    scores_masks
        Whether a network of its own predicts how well a mask fits.
    depth
        Channels of the pyramid's levels.
    """

    backbone: Literal["resnet50", "resnet101", "darknet53", "narrow"]
    anchors: Anchors = BASE_ANCHORS
    deformable_every: int | None = None
    scores_masks: bool = False
    depth: int = DEPTH


DESIGNS = {
    "resnet50": Design("resnet50"),
    "darknet53": Design("darknet53"),
    "base": Design("resnet101"),
    "plus_resnet50": Design("resnet50", PLUS_ANCHORS, deformable_every=1, scores_masks=True),
    "plus_base": Design("resnet101", PLUS_ANCHORS, deformable_every=3, scores_masks=True),
}
"""The published models, by the names the authors gave them."""

CELLS = Design("narrow", CELL_ANCHORS, depth=64)
"""Ours for cells of 8 to 150 pixels: narrow, with levels at the strides 4 to 64."""


class Prediction(NamedTuple):
    """What the network says of a batch of images; N priors.

    Attributes
    ----------
    boxes
        (B, N, 4), encoded against the priors.
    class_logits
        (B, N, classes), background first.
    coefficients
        (B, N, 32) in [-1, 1].
    priors
        (N, 4), (cx, cy, w, h) as shares of the image.
    prototypes
        (B, 2H', 2W', 32), none below 0; H' and W' are those of the finest level.
    semantic_logits
        (B, classes - 1, H', W'): which classes are where, for training alone.
    """

    boxes: Tensor
    class_logits: Tensor
    coefficients: Tensor
    priors: Tensor
    prototypes: Tensor
    semantic_logits: Tensor


class Yolact(nn.Module):
    """Predict boxes, classes, prototype masks, and how to combine them.

    Images are square, prepared by `prepare_images`.

    Parameters
    ----------
    design
        One of `DESIGNS`, or `CELLS`.
    n_classes
        With the background.
    """

    def __init__(self, design: Design = DESIGNS["resnet50"], n_classes: int = COCO_CLASSES) -> None:
        super().__init__()
        self.design = design
        self.backbone = _make_backbone(design)
        self.proto_net = prototype_network(design.depth)
        self.maskiou_net = MaskIouNetwork(n_classes - 1) if design.scores_masks else None
        self.fpn = FeaturePyramid(self.backbone.channels, design.depth)
        self.prediction_layers = nn.ModuleList(
            [PredictionHead(design.anchors.per_position, n_classes, design.depth)]
        )
        self.semantic_seg_conv = nn.Conv2d(design.depth, n_classes - 1, 1)

    def forward(self, images: Tensor) -> Prediction:
        """Return what is in images (B, 3, S, S).

        Raises
        ------
        ValueError
            If they aren't square.
        """
        height, width = images.shape[-2:]
        if height != width:
            raise ValueError(f"Images must be square, got {(height, width)}.")
        levels = self.fpn(self.backbone(images))
        (head,) = self.prediction_layers
        boxes, logits, coefficients = (
            torch.cat(parts, dim=1) for parts in zip(*map(head, levels), strict=True)
        )
        cells = [(level.shape[-2], level.shape[-1]) for level in levels]
        return Prediction(
            boxes,
            logits,
            coefficients,
            make_priors(self.design.anchors, cells, height, images.device),
            self.proto_net(levels[0]).movedim(1, -1),
            self.semantic_seg_conv(levels[0]),
        )


def _make_backbone(design: Design) -> ResNet | DarkNet:
    if design.backbone == "darknet53":
        return DarkNet()
    if design.backbone == "narrow":
        return ResNet((2, 3, 3), width=32)
    blocks = (3, 4, 6 if design.backbone == "resnet50" else 23, 3)
    return ResNet(blocks, deformable_every=design.deformable_every)

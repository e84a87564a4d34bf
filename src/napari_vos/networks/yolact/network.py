"""YOLACT: instances as linear combinations of prototype masks.

Bolya et al., "YOLACT: Real-time Instance Segmentation", ICCV 2019, and "YOLACT++:
Better Real-time Instance Segmentation", TPAMI 2020. Names of attributes follow
the keys of the authors' checkpoints.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_vos.networks.yolact.backbones import DarkNet, ResNet
from napari_vos.networks.yolact.boxes import confine
from napari_vos.networks.yolact.heads import N_PROTOTYPES, PredictionHead, prototype_network
from napari_vos.networks.yolact.maskiou import MaskIouNetwork
from napari_vos.networks.yolact.priors import Anchors, make_priors
from napari_vos.networks.yolact.pyramid import DEPTH, FeaturePyramid

SIZE = 550
"""Side of the input that the published models were trained with."""

N_PLACES = 2
"""Coordinates."""

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
    """What models differ in; what isn't said is as in all published models.

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
    interpolation
        How the pyramid's coarse levels are enlarged.
    shares_head
        Whether all levels have one prediction head.
    confines_boxes
        Whether the centres of boxes stay at the positions of their priors, see `confine`.
    sees_places
        Whether prototypes are made of coordinates too.
    adds_constant
        Whether a prototype that is 1 everywhere is added: a bias of masks.
    prototypes_as_features
        Whether the prediction heads see the prototypes, and whether prototypes
        learn from that.
    predicts_existence
        Whether the network says which classes are anywhere in the image.
    instance_codes
        Numbers of each prior that are alike for one instance and differ between
        several, if the loss of diversity is to be about them and not about the
        coefficients of prototypes; 0 for none.
    direct_masks
        Side of the mask that each prior predicts by itself, stretched to its box; 0
        for masks that are combined of prototypes. Without prototypes nothing that
        concerns these counts.
    mask_activation
        What makes masks of weighted prototypes, one of `ACTIVATIONS`.
    class_scores
        What makes scores of class logits, one of `CLASS_SCORES`: that depends on the
        loss of classes.
    """

    backbone: Literal["resnet50", "resnet101", "darknet53", "narrow"]
    anchors: Anchors = BASE_ANCHORS
    deformable_every: int | None = None
    scores_masks: bool = False
    depth: int = DEPTH
    interpolation: Literal["bilinear", "nearest"] = "bilinear"
    shares_head: bool = True
    confines_boxes: bool = False
    sees_places: bool = False
    adds_constant: bool = False
    prototypes_as_features: Literal["no", "fixed", "learned"] = "no"
    predicts_existence: bool = False
    instance_codes: int = 0
    direct_masks: int = 0
    mask_activation: Literal["sigmoid", "tanh", "relu"] = "sigmoid"
    class_scores: Literal["softmax", "sigmoid", "objectness"] = "softmax"

    @property
    def n_coefficients(self) -> int:
        """Numbers of each prior that its mask is made of."""
        return self.direct_masks**2 or N_PROTOTYPES + self.adds_constant

    def to_json(self) -> str:
        """Return the design as text, as it goes along with weights."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Design:
        """Return the design that `to_json` wrote; raises TypeError if it is another one's."""
        fields = json.loads(text)
        anchors = fields.pop("anchors")
        scales = tuple(tuple(scales) for scales in anchors.pop("scales"))
        ratios = tuple(anchors.pop("ratios"))
        return cls(anchors=Anchors(scales, ratios, **anchors), **fields)


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
        (B, N, 32) in [-1, 1]; of direct masks (B, N, S·S) in [0, 1], row by row.
    priors
        (N, 4), (cx, cy, w, h) as shares of the image.
    prototypes
        (B, 2H', 2W', 32), none below 0; H' and W' are those of the finest level.
        (B, 0, 0, 32) if masks are direct.
    semantic_logits
        (B, classes - 1, H', W'): which classes are where, for training alone.
    existence_logits
        (B, classes - 1): which are anywhere; None if that isn't predicted.
    instance_codes
        (B, N, K), see `Design.instance_codes`; None if there are none.
    """

    boxes: Tensor
    class_logits: Tensor
    coefficients: Tensor
    priors: Tensor
    prototypes: Tensor
    semantic_logits: Tensor
    existence_logits: Tensor | None = None
    instance_codes: Tensor | None = None


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
        self.proto_net = (
            None
            if design.direct_masks
            else prototype_network(design.depth, N_PLACES if design.sees_places else 0)
        )
        self.maskiou_net = MaskIouNetwork(n_classes - 1) if design.scores_masks else None
        self.fpn = FeaturePyramid(self.backbone.channels, design.depth, design.interpolation)
        self.prediction_layers = nn.ModuleList(
            PredictionHead(
                design.anchors.per_position,
                n_classes,
                design.depth,
                n_more=0 if self._ignores_prototypes else N_PROTOTYPES,
                n_coefficients=design.n_coefficients,
                activation=torch.sigmoid if design.direct_masks else torch.tanh,
                n_codes=design.instance_codes,
            )
            for _ in range(1 if design.shares_head else len(design.anchors.scales))
        )
        self.semantic_seg_conv = nn.Conv2d(design.depth, n_classes - 1, 1)
        if design.predicts_existence:
            self.class_existence_fc = nn.Linear(design.depth, n_classes - 1)

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
        cells = [(level.shape[-2], level.shape[-1]) for level in levels]
        priors = make_priors(self.design.anchors, cells, height, images.device)
        prototypes = self._make_prototypes(levels[0])
        heads = list(self.prediction_layers)
        said = [
            head(self._with_prototypes(level, prototypes))
            for head, level in zip(heads * (len(levels) // len(heads)), levels, strict=True)
        ]
        boxes, logits, coefficients, *codes = (
            torch.cat(parts, dim=1) for parts in zip(*said, strict=True)
        )
        if self.design.confines_boxes:
            boxes = confine(boxes, priors, self._steps(cells, images))
        if self.design.adds_constant:
            prototypes = torch.cat([prototypes, torch.ones_like(prototypes[:, :1])], dim=1)
        return Prediction(
            boxes,
            logits,
            coefficients,
            priors,
            prototypes.movedim(1, -1),
            self.semantic_seg_conv(levels[0]),
            self.class_existence_fc(levels[-1].mean(dim=(2, 3)))
            if self.design.predicts_existence
            else None,
            codes[0] if codes else None,
        )

    @property
    def _ignores_prototypes(self) -> bool:
        """Whether the heads see no prototypes."""
        return self.design.prototypes_as_features == "no" or bool(self.design.direct_masks)

    def _make_prototypes(self, level: Tensor) -> Tensor:
        """Return (B, 32, 2H, 2W), or no pixel of them if masks are direct."""
        if self.proto_net is None:
            return level.new_zeros(len(level), N_PROTOTYPES, 0, 0)
        places = [_places(level)] if self.design.sees_places else []
        prototypes: Tensor = self.proto_net(torch.cat([level, *places], dim=1))
        return prototypes

    def _with_prototypes(self, level: Tensor, prototypes: Tensor) -> Tensor:
        """Return what the head of a level sees."""
        if self._ignores_prototypes:
            return level
        if self.design.prototypes_as_features == "fixed":
            prototypes = prototypes.detach()
        small = functional.interpolate(
            prototypes, size=level.shape[-2:], mode="bilinear", align_corners=False
        )
        return torch.cat([level, small], dim=1)

    def _steps(self, cells: list[tuple[int, int]], images: Tensor) -> Tensor:
        """Return (N, 2): width and height of the position of each prior, as shares."""
        per_position = self.design.anchors.per_position
        return torch.cat(
            [
                images.new_tensor([[1 / width, 1 / height]]).expand(
                    height * width * per_position, 2
                )
                for height, width in cells
            ]
        )


def _places(level: Tensor) -> Tensor:
    """Return the coordinates (B, 2, H, W) of a level (B, C, H, W), -1 to 1."""
    batch, _, height, width = level.shape
    y, x = (
        (2 * torch.arange(length, device=level.device, dtype=level.dtype) + 1) / length - 1
        for length in (height, width)
    )
    return torch.stack(torch.meshgrid(y, x, indexing="ij")).expand(batch, -1, -1, -1)


def _make_backbone(design: Design) -> ResNet | DarkNet:
    if design.backbone == "darknet53":
        return DarkNet()
    if design.backbone == "narrow":
        return ResNet((2, 3, 3), width=32)
    blocks = (3, 4, 6 if design.backbone == "resnet50" else 23, 3)
    return ResNet(blocks, deformable_every=design.deformable_every)

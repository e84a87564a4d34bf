"""The scribble-to-mask network of MiVOS: DeepLabV3+ on a ResNet-50 of six channels.

Cheng, Tai, Tang, CVPR 2021, section 3.1; Chen et al., "Encoder-Decoder with
Atrous Separable Convolution for Semantic Image Segmentation", ECCV 2018. Names of
attributes follow the keys of the authors' checkpoint.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_vos.networks.deeplab import ConvNorm, SpatialPyramid
from napari_vos.networks.resnet import apply_stem, bottleneck_stage

DILATIONS = (6, 12, 18)
"""Of the 3x3 convolutions of the spatial pyramid at stride 16."""


class Backbone(nn.Module):
    """ResNet-50 at stride 16, the last stage dilated instead of strided."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(6, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = bottleneck_stage(64, 64, 3)
        self.layer2 = bottleneck_stage(256, 128, 4, stride=2)
        self.layer3 = bottleneck_stage(512, 256, 6, stride=2)
        self.layer4 = bottleneck_stage(1024, 512, 3, dilation=2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return 256 features at stride 4 and 2048 at stride 16 of (B, 6, H, W)."""
        low_level = self.layer1(apply_stem(self, x))
        return low_level, self.layer4(self.layer3(self.layer2(low_level)))


class Classifier(nn.Module):
    """The decoder of DeepLabV3+."""

    def __init__(self) -> None:
        super().__init__()
        self.project = ConvNorm(256, 48)
        self.aspp = SpatialPyramid(DILATIONS, dropout=0.1)
        self.classifier = nn.Sequential(*ConvNorm(304, 256, 3), nn.Conv2d(256, 1, 1))

    def forward(self, low_level: Tensor, features: Tensor) -> Tensor:
        """Return logits (B, 1, H/4, W/4) from features at strides 4 and 16."""
        detail = self.project(low_level)
        wide = _resize(self.aspp(features), detail.shape[-2:])
        logits: Tensor = self.classifier(torch.cat([detail, wide], dim=1))
        return logits


class ScribbleToMaskNetwork(nn.Module):
    """Make an object's mask from strokes on it and beside it, and from the mask so far."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.classifier = Classifier()

    def forward(
        self, image: Tensor, previous: Tensor, positive: Tensor, negative: Tensor
    ) -> Tensor:
        """Return logits (B, 1, H, W).

        Parameters
        ----------
        image
            (B, 3, H, W), normalised as for the propagation network.
        previous, positive, negative
            (B, 1, H, W), 0 or 1: the mask so far, strokes on the object, and
            strokes on anything else.
        """
        x = torch.cat([image, previous, positive, negative], dim=1)
        return _resize(self.classifier(*self.backbone(x)), x.shape[-2:])


def _resize(x: Tensor, size: torch.Size) -> Tensor:
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)

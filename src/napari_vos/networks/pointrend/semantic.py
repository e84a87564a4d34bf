"""The semantic network of PointRend: DeepLabV3 on a ResNet, rendered at points.

Kirillov et al., CVPR 2020; Chen et al., "Rethinking Atrous Convolution for Semantic
Image Segmentation", 2017. Names of attributes follow the keys of published
checkpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from napari_vos.networks.deeplab import WIDTH, ConvNorm, SpatialPyramid
from napari_vos.networks.pointrend.head import PointHead
from napari_vos.networks.pointrend.subdivision import SINGLE_LAYER, halvings, subdivide
from napari_vos.networks.resnet import apply_stem, bottleneck_stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

DILATIONS = (12, 24, 36)
"""Of the 3x3 convolutions of the spatial pyramid at stride 8."""

FINE_DEPTH = 512
"""Channels of the fine features, which have stride 8."""


BLOCKS = {50: 6, 53: 6, 103: 23}
"""Bottlenecks of the third stage, by the number of layers."""

STEM_DEPTHS = 64, 64, 128
"""Channels of the 3x3 convolutions with which the deeper trunks begin."""


class Trunk(nn.Module):
    """ResNet at stride 8, its last two stages dilated instead of strided.

    With 53 and 103 layers it is ResNet-50 and -101 with three 3x3 convolutions
    in place of the first 7x7 one.

    Parameters
    ----------
    layers
        One of `BLOCKS`.
    """

    def __init__(self, layers: int = 50) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False) if layers == 50 else small_stem()
        depth = 64 if layers == 50 else STEM_DEPTHS[-1]
        self.bn1 = nn.BatchNorm2d(depth)
        self.layer1 = bottleneck_stage(depth, 64, 3)
        self.layer2 = bottleneck_stage(256, 128, 4, stride=2)
        self.layer3 = bottleneck_stage(FINE_DEPTH, 256, BLOCKS[layers], dilation=2)
        self.layer4 = bottleneck_stage(1024, 512, 3, dilation=4, first_dilation=2)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return 512 and 2048 features, both at stride 8, of (B, 3, H, W)."""
        fine = self.layer2(self.layer1(apply_stem(self, image)))
        return fine, self.layer4(self.layer3(fine))


def small_stem() -> nn.Sequential:
    """Return three 3x3 convolutions, the first of stride 2; the norm of the last one is `bn1`."""
    first, second, third = STEM_DEPTHS
    return nn.Sequential(
        nn.Conv2d(3, first, 3, 2, 1, bias=False),
        nn.BatchNorm2d(first),
        nn.ReLU(),
        nn.Conv2d(first, second, 3, padding=1, bias=False),
        nn.BatchNorm2d(second),
        nn.ReLU(),
        nn.Conv2d(second, third, 3, padding=1, bias=False),
    )


class DeepLab(nn.Module):
    """DeepLabV3: coarse logits, and the features they come from."""

    def __init__(self, classes: int, layers: int) -> None:
        super().__init__()
        self.backbone = Trunk(layers)
        self.classifier = nn.Sequential(
            SpatialPyramid(DILATIONS, dropout=0.5),
            *ConvNorm(WIDTH, WIDTH, 3),
            nn.Conv2d(WIDTH, classes, 1),
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, classes, H/8, W/8) and features (B, 512, H/8, W/8)."""
        fine, features = self.backbone(image)
        return self.classifier(features), fine


def layers_of(state: Mapping[str, Tensor]) -> int:
    """Return how many layers the trunk has to which these weights belong."""
    trunk = "backbone.backbone"
    if f"{trunk}.conv1.0.weight" not in state:
        return 50
    return 103 if f"{trunk}.layer3.{BLOCKS[103] - 1}.conv1.weight" in state else 53


class SemanticPointRend(nn.Module):
    """Segment images by class, sharp at full size.

    Images are RGB in [0, 1], minus (0.485, 0.456, 0.406), divided by (0.229,
    0.224, 0.225).

    Parameters
    ----------
    classes
        Number of classes, background included.
    layers
        Of the trunk: 50, or 53 or 103, which begin with 3x3 convolutions.
    """

    def __init__(self, classes: int = 21, layers: int = 50) -> None:
        super().__init__()
        self.backbone = DeepLab(classes, layers)
        self.head = PointHead(FINE_DEPTH + classes, classes)

    def predict_coarse(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, classes, H/8, W/8) and fine features (B, 512, H/8, W/8)."""
        coarse, fine = self.backbone(image)
        return coarse, fine

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, classes, H, W) of (B, 3, H, W) images of any size."""
        coarse, fine = self.predict_coarse(image)
        height, width = image.shape[-2:]
        sizes = halvings((coarse.shape[-2], coarse.shape[-1]), (height, width))
        return subdivide(coarse, fine, self.head, sizes, SINGLE_LAYER)

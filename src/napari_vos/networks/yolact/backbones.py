"""The trunks YOLACT stands on: ResNet, plain or with deformable convolutions, and DarkNet-53.

He et al., CVPR 2016; Redmon and Farhadi, "YOLOv3: An Incremental Improvement",
2018. Names of attributes follow the keys of the authors' checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from napari_vos.networks.resnet import EXPANSION, apply_stem, bottleneck_stage
from napari_vos.networks.yolact.deformable import DeformableConv2d

DARKNET_BLOCKS = (1, 2, 8, 8, 4)
DARKNET_WIDTHS = (32, 64, 128, 256, 512, 1024)
LEAK = 0.1

Features = tuple[Tensor, ...]
"""The last three levels, (B, C, H/s, W/s); odd sides round up.

C3, C4 and C5 at the strides s = 8, 16, 32, but for a trunk of three stages: C2,
C3 and C4.
"""


class ResNet(nn.Module):
    """A bottleneck ResNet.

    Parameters
    ----------
    blocks
        In each of the stages, four as published.
    width
        Channels of the first stage's 3x3 convolutions; each stage has twice as
        many as the one before.
    deformable_every
        After the first stage every so-manieth block, the first included, has a
        deformable 3x3 convolution; None for none.
    """

    def __init__(
        self, blocks: Sequence[int], *, width: int = 64, deformable_every: int | None = None
    ) -> None:
        super().__init__()
        widths = [width << stage for stage in range(len(blocks))]
        outputs = [EXPANSION * width for width in widths]
        strides = [1] + [2] * (len(blocks) - 1)
        self.channels = tuple(outputs[-3:])
        self.layers = nn.ModuleList(
            bottleneck_stage(*sizes, stride=stride)
            for *sizes, stride in zip([width, *outputs[:-1]], widths, blocks, strides, strict=True)
        )
        if deformable_every is not None:
            for stage in self.layers[1:]:
                for block in list(stage.children())[::deformable_every]:
                    _make_deformable(block)
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Features:
        """Return the last three levels of (B, 3, H, W)."""
        return _last_three(self.layers, apply_stem(self, x))


def _make_deformable(block: nn.Module) -> None:
    plain = cast("nn.Conv2d", block.conv2)
    block.conv2 = DeformableConv2d(plain.in_channels, plain.out_channels, plain.stride[0])


class DarkNetBlock(nn.Module):
    """1x1 and 3x3 convolution, added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = convolution(channels, channels // 2, 1)
        self.conv2 = convolution(channels // 2, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, channels, H, W) of the same."""
        out: Tensor = self.conv2(self.conv1(x)) + x
        return out


class DarkNet(nn.Module):
    """DarkNet-53 without its classifier."""

    channels = DARKNET_WIDTHS[-3:]

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                convolution(inputs, outputs, 3, stride=2),
                *(DarkNetBlock(outputs) for _ in range(blocks)),
            )
            for (inputs, outputs), blocks in zip(
                pairwise(DARKNET_WIDTHS), DARKNET_BLOCKS, strict=True
            )
        )
        self._preconv = convolution(3, DARKNET_WIDTHS[0], 3)

    def forward(self, x: Tensor) -> Features:
        """Return C3, C4, C5 of (B, 3, H, W)."""
        return _last_three(self.layers, self._preconv(x))


def convolution(inputs: int, outputs: int, size: int, *, stride: int = 1) -> nn.Sequential:
    """Return convolution, batch norm and leaky ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(LEAK),
    )


def _last_three(stages: nn.ModuleList, x: Tensor) -> Features:
    features = []
    for stage in stages:
        x = stage(x)
        features.append(x)
    return tuple(features[-3:])

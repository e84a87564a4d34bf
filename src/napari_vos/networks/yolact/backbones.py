"""The trunks YOLACT stands on: ResNet, plain or with deformable convolutions, and DarkNet-53.

He et al., CVPR 2016; Redmon and Farhadi, "YOLOv3: An Incremental Improvement",
2018. Names of attributes follow the keys of the authors' checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from napari_vos.networks.resnet import apply_stem, bottleneck_stage
from napari_vos.networks.yolact.deformable import DeformableConv2d

DARKNET_BLOCKS = (1, 2, 8, 8, 4)
DARKNET_WIDTHS = (32, 64, 128, 256, 512, 1024)
LEAK = 0.1

Features = tuple[Tensor, ...]
"""C3, C4 and C5: (B, C, H/s, W/s) at the strides s = 8, 16, 32; odd sides round up."""


class ResNet(nn.Module):
    """A bottleneck ResNet.

    Parameters
    ----------
    blocks
        In each of the four stages.
    deformable_every
        In the last three stages every so-manieth block, the first included, has
        a deformable 3x3 convolution; None for none.
    """

    channels = (512, 1024, 2048)

    def __init__(self, blocks: Sequence[int], *, deformable_every: int | None = None) -> None:
        super().__init__()
        inputs = (64, 256, 512, 1024)
        widths = (64, 128, 256, 512)
        strides = (1, 2, 2, 2)
        self.layers = nn.ModuleList(
            bottleneck_stage(*sizes, stride=stride)
            for *sizes, stride in zip(inputs, widths, blocks, strides, strict=True)
        )
        if deformable_every is not None:
            for stage in self.layers[1:]:
                for block in list(stage.children())[::deformable_every]:
                    _make_deformable(block)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)

    def forward(self, x: Tensor) -> Features:
        """Return C3, C4, C5 of (B, 3, H, W)."""
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

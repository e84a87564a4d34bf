"""Bottleneck ResNets, in the parts that published networks put together in their own ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

EXPANSION = 4
"""Output channels of a bottleneck per channel of its 3x3 convolution."""


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution around a shortcut; the 3x3 one has stride and dilation.

    Parameters
    ----------
    inputs
        Input channels.
    width
        Channels of the 3x3 convolution; the output has `EXPANSION` times as many.
    stride, dilation
        Of the 3x3 convolution.
    bias
        Whether convolutions have a bias besides that of the batch norm after them.
    """

    def __init__(
        self, inputs: int, width: int, *, stride: int = 1, dilation: int = 1, bias: bool = False
    ) -> None:
        super().__init__()
        outputs = EXPANSION * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=bias)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(
            width, width, 3, stride, padding=dilation, dilation=dilation, bias=bias
        )
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=bias)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential()
            if stride == 1 and inputs == outputs
            else nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=bias), nn.BatchNorm2d(outputs)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, EXPANSION · width, H/stride, W/stride) from (B, inputs, H, W)."""
        out = functional.relu(self.bn1(self.conv1(x)))
        out = functional.relu(self.bn2(self.conv2(out)))
        return functional.relu(self.bn3(self.conv3(out)) + self.downsample(x))


def bottleneck_stage(
    inputs: int,
    width: int,
    blocks: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    first_dilation: int = 1,
    bias: bool = False,
) -> nn.Sequential:
    """Return a stage of bottlenecks.

    The first block has the stride and the dilation of the stage before, the
    others the dilation: a stage that is dilated instead of strided has the
    receptive field of the strided one.
    """
    first = Bottleneck(inputs, width, stride=stride, dilation=first_dilation, bias=bias)
    others = (
        Bottleneck(EXPANSION * width, width, dilation=dilation, bias=bias)
        for _ in range(blocks - 1)
    )
    return nn.Sequential(first, *others)


class Stem(Protocol):
    """What begins a ResNet."""

    @property
    def conv1(self) -> nn.Conv2d | nn.Sequential:
        """Convolutions of stride 2 in all."""
        ...

    @property
    def bn1(self) -> nn.BatchNorm2d:
        """Their batch norm."""
        ...


def apply_stem(network: Stem, x: Tensor) -> Tensor:
    """Return (B, 64, H/4, W/4) from (B, C, H, W)."""
    return functional.max_pool2d(functional.relu(network.bn1(network.conv1(x))), 3, 2, padding=1)

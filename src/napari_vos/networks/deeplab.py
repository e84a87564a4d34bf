"""The spatial pyramid of DeepLabV3, which published networks share.

Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTH = 256
"""Channels of each part of the pyramid, and of what they are joined to."""


class ConvNorm(nn.Sequential):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int = 1, dilation: int = 1) -> None:
        padding = dilation * (size // 2)
        super().__init__(
            nn.Conv2d(inputs, outputs, size, padding=padding, dilation=dilation, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )


class SpatialPyramid(nn.Module):
    """The same features seen through windows of different size, the whole frame the largest.

    Parameters
    ----------
    dilations
        Of the 3x3 convolutions.
    dropout
        Share of the joined features that training drops.
    """

    def __init__(self, dilations: tuple[int, ...], *, dropout: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                ConvNorm(2048, WIDTH),
                *(ConvNorm(2048, WIDTH, 3, dilation) for dilation in dilations),
                nn.Sequential(nn.AdaptiveAvgPool2d(1), *ConvNorm(2048, WIDTH)),
            ]
        )
        self.project = nn.Sequential(
            *ConvNorm((len(dilations) + 2) * WIDTH, WIDTH), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 256, H, W) from (B, 2048, H, W)."""
        size = x.shape[-2:]
        seen = [conv(x) for conv in self.convs]
        seen[-1] = seen[-1].expand(-1, -1, *size)
        projected: Tensor = self.project(torch.cat(seen, dim=1))
        return projected

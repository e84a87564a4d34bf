"""The refinement network: whether a point belongs to an object, from the image around it.

PointRend's head in its reference form (Kirillov et al., CVPR 2020), small, on
features of a few convolutions at full resolution. It starts from the coarse
mask: what it says is added to that mask's log-odds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_vos.networks.compact import IMAGE_CHANNELS, ConvNorm
from napari_vos.networks.pointrend import LayeredPointHead

STRIDES = (1, 2, 4)
"""Of the feature maps."""

REACH = 15
"""Pixels around a position that its features depend on."""

COARSE_CHANNELS = 3
SUREST = 0.98
"""How sure a coarse mask is at most, so that the image can outvote it."""


class RefinementNetwork(nn.Module):
    """Refine masks at points.

    Parameters
    ----------
    widths
        Channels of the features at strides 1, 2 and 4.
    hidden
        Channels of the head's hidden layers.
    """

    def __init__(self, widths: tuple[int, int, int] = (12, 24, 32), hidden: int = 64) -> None:
        super().__init__()
        full, half, quarter = widths
        self.widths = widths
        self.levels = nn.ModuleList(
            [
                nn.Sequential(ConvNorm(IMAGE_CHANNELS, full), ConvNorm(full, full)),
                nn.Sequential(ConvNorm(full, half, stride=2), ConvNorm(half, half)),
                nn.Sequential(
                    ConvNorm(half, quarter, stride=2),
                    ConvNorm(quarter, quarter),
                    ConvNorm(quarter, quarter),
                ),
            ]
        )
        self.head = LayeredPointHead(sum(widths), COARSE_CHANNELS, 1, width=hidden)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Return fine features at strides 1, 2 and 4.

        Parameters
        ----------
        image
            (B, 4, H, W) as the compact network takes windows, H and W multiples of 4.
        """
        features = []
        for level in self.levels:
            image = level(image)
            features.append(image)
        return features

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return logits (B, 1, N) of the object at points.

        Parameters
        ----------
        coarse
            (B, 3, N): probability of the object and of all others, both in
            [0, 1] and from the coarse masks, and the octaves (log2) between
            the coarse masks and the image.
        fine
            (B, D, N): features of all strides, one after the other.
        """
        known = coarse[:, :1].clamp(1 - SUREST, SUREST).logit()
        out: Tensor = known + self.head(coarse, fine)
        return out


def describe(own: Tensor, others: Tensor, octaves: Tensor) -> Tensor:
    """Return what `RefinementNetwork` takes as coarse (B, 3, N) from three (B, N)."""
    return torch.stack([own, others, octaves], dim=1)

"""The refinement network: whether a point belongs to an object, from what is around it.

PointRend's head in its reference form (Kirillov et al., CVPR 2020), small. It sees
the image, on features of a few convolutions at full resolution that know where
borders are believed to run, and the shape of the coarse mask. What it says is
added to that mask's log-odds.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_vos.networks.compact import IMAGE_CHANNELS, ConvNorm
from napari_vos.networks.pointrend import LayeredPointHead

STRIDES = (1, 2, 4)
"""Of the feature maps."""

REACH = 19
"""Pixels around a position that its features depend on."""

LAYOUT_CHANNELS = 2
"""What the encoder knows of coarse masks: their sum, and where borders run."""

NEIGHBOURHOOD = 7
"""Side of the piece of an object's coarse mask that is seen at a point, in its cells."""

COARSE_CHANNELS = 4
SUREST = 0.98
"""How sure a coarse mask is at most, so that the image can outvote it."""


class Known(NamedTuple):
    """What coarse masks tell about points; a batch of B objects has N points each.

    Attributes
    ----------
    own, others
        (B, N) in [0, 1]: probability of the object and of all others.
    given
        (B, N) in [0, 1]: the object's mask as it was given, at full size.
    octaves
        (B, N), log2 of the pixels of the image per pixel of the coarse masks.
    around
        (B, `NEIGHBOURHOOD`², N): the object's coarse mask at points one cell of it
        apart, by rows, the point itself in the middle.
    """

    own: Tensor
    others: Tensor
    given: Tensor
    octaves: Tensor
    around: Tensor


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
                nn.Sequential(
                    ConvNorm(IMAGE_CHANNELS + LAYOUT_CHANNELS, full), ConvNorm(full, full)
                ),
                nn.Sequential(ConvNorm(full, half, stride=2), ConvNorm(half, half)),
                nn.Sequential(
                    ConvNorm(half, quarter, stride=2),
                    ConvNorm(quarter, quarter),
                    ConvNorm(quarter, quarter),
                    ConvNorm(quarter, quarter),
                ),
            ]
        )
        self.head = LayeredPointHead(
            sum(widths) + NEIGHBOURHOOD**2, COARSE_CHANNELS, 1, width=hidden
        )

    def encode(self, image: Tensor, layout: Tensor) -> list[Tensor]:
        """Return fine features at strides 1, 2 and 4.

        Parameters
        ----------
        image
            (B, 4, H, W) as the compact network takes windows, H and W multiples of 4.
        layout
            (B, 2, H, W) in [0, 1]: the sum of all coarse masks, and the highest of
            their `border_strength`.
        """
        features = []
        out = torch.cat([image, layout], dim=1)
        for level in self.levels:
            out = level(out)
            features.append(out)
        return features

    def forward(self, known: Known, fine: Tensor) -> Tensor:
        """Return logits (B, 1, N) of the object at points.

        Parameters
        ----------
        known
            What coarse masks tell.
        fine
            (B, D, N): features of all strides, one after the other.
        """
        coarse = torch.stack(known[:-1], dim=1)
        log_odds = known.own[:, None].clamp(1 - SUREST, SUREST).logit()
        out: Tensor = log_odds + self.head(coarse, torch.cat([fine, 2 * known.around - 1], dim=1))
        return out


def border_strength(coarse: Tensor) -> Tensor:
    """Return how much of a border runs where an object has these shares, 0 to 1."""
    return 4 * coarse * (1 - coarse)


def neighbourhoods(coarse: Tensor) -> Tensor:
    """Return (B, `NEIGHBOURHOOD`², h, w), what is around each cell of (B, h, w)."""
    reach = NEIGHBOURHOOD // 2
    padded = functional.pad(coarse[:, None], (reach,) * 4, mode="replicate")
    return functional.unfold(padded, NEIGHBOURHOOD).reshape(len(coarse), -1, *coarse.shape[-2:])

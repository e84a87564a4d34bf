"""The interactive network of the compact engine: one object in its window, from rough marks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_vos.networks.compact import (
    IMAGE_CHANNELS,
    ConvNorm,
    Encoder,
    HalfInstanceNorm,
    ResidualBlock,
    enlarge,
)

MAPS = 5
"""Planes beside the image: previous mask, others, strokes on the object and off it, box."""


class InteractionNetwork(nn.Module):
    """Make the mask of what is marked in a window."""

    def __init__(self) -> None:
        super().__init__()
        half, quarter, eighth = channels = (24, 48, 96)
        self.encoder = Encoder(IMAGE_CHANNELS + MAPS, channels, (0, 1, 4), HalfInstanceNorm)
        self.to_quarter = nn.Conv2d(eighth, quarter, 1)
        self.decode_quarter = nn.Sequential(ConvNorm(2 * quarter, quarter), ResidualBlock(quarter))
        self.to_half = nn.Conv2d(quarter, half, 1)
        self.decode_half = ConvNorm(2 * half, half)
        self.to_full = nn.Conv2d(half, 16, 1)
        self.decode_full = nn.Sequential(
            ConvNorm(16 + IMAGE_CHANNELS + MAPS, 16), nn.Conv2d(16, 1, 3, padding=1)
        )

    def forward(
        self,
        image: Tensor,
        previous: Tensor,
        others: Tensor,
        inside: Tensor,
        outside: Tensor,
        box: Tensor,
    ) -> Tensor:
        """Return logits (B, 1, H, W) of the mask; H and W are multiples of 8.

        Parameters
        ----------
        image
            (B, 4, H, W), standardised.
        previous
            (B, 1, H, W) in [0, 1]: the mask so far, 0 for a new object.
        others
            (B, 1, H, W) in [0, 1]: all other known objects; -1 beyond the frame.
        inside, outside
            (B, 1, H, W), 0 or 1: strokes on the object, and on what is no part of
            it; see `thicken`.
        box
            (B, 1, H, W) in [0, 1]: the box that holds the object, 0 if there is none.
        """
        seen = torch.cat([image, previous, others, inside, outside, box], dim=1)
        half, quarter, eighth = self.encoder(seen)
        quarter = self.decode_quarter(torch.cat([enlarge(self.to_quarter(eighth)), quarter], dim=1))
        half = self.decode_half(torch.cat([enlarge(self.to_half(quarter)), half], dim=1))
        full = enlarge(self.to_full(half))
        logits: Tensor = self.decode_full(torch.cat([full, seen], dim=1))
        return logits


def thicken(strokes: Tensor) -> Tensor:
    """Return strokes (B, 1, H, W), in [0, 1] as they were resampled, as 0 and 1.

    They are at least three pixels wide, so that none gets lost where windows are
    much larger than the network's view of them.
    """
    return functional.max_pool2d((strokes > 0.05).float(), 3, stride=1, padding=1)

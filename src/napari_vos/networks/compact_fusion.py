"""The fusion network of the compact engine: which of two masks to believe, where, in a window.

Its form follows MiVOS (Cheng, Tai, Tang, CVPR 2021, section 3.3): image, both
masks, what the correction changed, and how far each user frame is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_vos.networks.compact import IMAGE_CHANNELS, ConvNorm, Encoder, ResidualBlock, enlarge

SURE = 1e-2
"""Probabilities this near to 0 or 1 count as that much, so that the network can still object."""


class CompactFusionNetwork(nn.Module):
    """Fuse an object's old and new mask in its window."""

    def __init__(self) -> None:
        super().__init__()
        half, quarter, eighth = channels = (24, 48, 64)
        self.encoder = Encoder(IMAGE_CHANNELS + 6, channels, (1, 1, 1))
        self.to_quarter = nn.Conv2d(eighth, quarter, 1)
        self.decode_quarter = nn.Sequential(ConvNorm(2 * quarter, quarter), ResidualBlock(quarter))
        self.to_half = nn.Conv2d(quarter, half, 1)
        self.decode_half = ConvNorm(2 * half, half)
        self.to_full = nn.Conv2d(half, 16, 1)
        self.decode_full = nn.Sequential(
            ConvNorm(16 + IMAGE_CHANNELS + 3, 16), nn.Conv2d(16, 1, 3, padding=1)
        )

    def forward(
        self, image: Tensor, old: Tensor, new: Tensor, attention: Tensor, distance: Tensor
    ) -> Tensor:
        """Return logits (B, 1, H, W) of the fused mask.

        Parameters
        ----------
        image
            (B, 4, H, W), standardised.
        old, new
            (B, 1, H, W) in [0, 1]: the mask so far, and the propagated correction.
        attention
            (B, 2, H, W) in [0, 1]: what the correction added and removed, as it
            shows in this frame (`networks.memory.attend_differences`).
        distance
            (B, 2) in [0, 1], together 1: how much the new mask and the old one count by
            the user frames they come from (`engines.shares.Shares`).
        """
        shares = distance[:, :, None, None]
        blended = fuse_linearly(old, new, distance)
        planes = shares.expand(-1, -1, *image.shape[-2:])
        half, quarter, eighth = self.encoder(torch.cat([image, old, new, attention, planes], dim=1))
        quarter = self.decode_quarter(torch.cat([enlarge(self.to_quarter(eighth)), quarter], dim=1))
        half = self.decode_half(torch.cat([enlarge(self.to_half(quarter)), half], dim=1))
        full = enlarge(self.to_full(half))
        objection: Tensor = self.decode_full(torch.cat([full, image, old, new, blended], dim=1))
        return torch.logit(blended.clamp(SURE, 1 - SURE)) + objection


def fuse_linearly(old: Tensor, new: Tensor, distance: Tensor) -> Tensor:
    """Return the mean of two masks weighted by what they count; see the network."""
    shares = distance[:, :, None, None]
    return shares[:, :1] * new + shares[:, 1:] * old

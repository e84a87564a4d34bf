"""The fusion network of MiVOS: between two user frames, which of two masks to believe where.

Cheng, Tai, Tang, CVPR 2021, section 3.3. Names of attributes follow the keys of
the authors' checkpoint.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 32


def _two_convolutions() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
    )


class FusionNetwork(nn.Module):
    """Fuse an object's old and new mask, knowing what a correction changed and how far it is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(9, WIDTH, 3, padding=1), nn.ReLU())
        self.conv2 = _two_convolutions()
        self.conv3 = _two_convolutions()
        self.final_conv = nn.Conv2d(WIDTH, 1, 3, padding=1)

    def forward(
        self, image: Tensor, old: Tensor, new: Tensor, attention: Tensor, distance: Tensor
    ) -> Tensor:
        """Return logits (B, 1, H, W) of the fused mask.

        Parameters
        ----------
        image
            (B, 3, H, W), normalised as for the propagation network.
        old, new
            (B, 1, H, W) in [0, 1]: the mask so far, and the propagated correction.
        attention
            (B, 2, H, W) in [0, 1]: what the correction added and removed, as it
            shows in this frame (`attend_differences`).
        distance
            (B, 2) in [0, 1]: frames to the other user frame, and to the
            corrected one, as shares of the frames between the two.
        """
        distances = distance[:, :, None, None].expand(-1, -1, *image.shape[-2:])
        x = self.conv1(torch.cat([image, old, new, attention, distances], dim=1))
        x = functional.relu(x + self.conv2(x))
        x = functional.relu(x + self.conv3(x))
        logits: Tensor = self.final_conv(x)
        return logits

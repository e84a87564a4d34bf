"""Modulated deformable convolution: each tap samples where, and as much as, it is told to.

Zhu et al., "Deformable ConvNets v2: More Deformable, Better Results", CVPR 2019.
Names of attributes follow the keys of published checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

TAPS = 9


class DeformableConv2d(nn.Conv2d):
    """A 3x3 convolution whose taps move by offsets and fade by a mask, both seen in its input.

    Before training offsets are 0 and masks 0.5.

    Parameters
    ----------
    inputs, outputs
        Channels.
    stride
        Of the convolution; its padding is 1.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, 3, stride, padding=1)
        self.conv_offset_mask = nn.Conv2d(inputs, 3 * TAPS, 3, stride, padding=1)
        for parameter in self.conv_offset_mask.parameters():
            nn.init.zeros_(parameter)

    def forward(self, input: Tensor) -> Tensor:
        """Return (B, outputs, H/stride, W/stride) from (B, inputs, H, W)."""
        offset, mask = self.conv_offset_mask(input).split([2 * TAPS, TAPS], dim=1)
        # In half precision positions would be off by a tenth of a pixel.
        taps = sample_taps(input.float(), offset.float(), self.stride[0]).to(input.dtype)
        taps = taps * mask.sigmoid()[:, None]
        return functional.conv2d(
            taps.flatten(1, 2), self.weight.flatten(1)[:, :, None, None], self.bias
        )


def sample_taps(x: Tensor, offset: Tensor, stride: int) -> Tensor:
    """Return what the moved taps of a 3x3 convolution with padding 1 see.

    Parameters
    ----------
    x
        (B, C, H, W).
    offset
        (B, 18, H', W') in pixels, (Δy, Δx) of each tap, taps row by row.
    stride
        Of the convolution.

    Returns
    -------
    Tensor
        (B, C, 9, H', W'), between pixels bilinear, outside 0.
    """
    height, width = x.shape[-2:]
    batch, _, *size = offset.shape

    def positions(n_positions: int) -> Tensor:
        return torch.arange(n_positions, device=x.device, dtype=x.dtype)

    tap = positions(3) - 1
    rows = tap.repeat_interleave(3)[:, None, None] + stride * positions(size[0])[:, None]
    columns = tap.repeat(3)[:, None, None] + stride * positions(size[1])
    y = offset[:, 0::2] + rows
    x_ = offset[:, 1::2] + columns
    # grid_sample without aligned corners has the centre of pixel i at (2i + 1) / size - 1.
    grid = torch.stack([(2 * x_ + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    sampled = functional.grid_sample(x, grid.flatten(1, 2), align_corners=False)
    return sampled.reshape(batch, -1, TAPS, *size)

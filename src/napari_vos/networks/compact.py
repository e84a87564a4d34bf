"""The compact network: one object in its own window.

The short past enters directly (the previous window with its mask beside the
current one), the long past through a space-time memory of user frames and
kept frames that is read with top-k attention at stride 8.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_vos.networks.memory import read_memory

COLOURS = 3
"""Channels of a picture; a grey one is repeated."""

IMAGE_CHANNELS = COLOURS + 1
"""The last one shows the dim parts; see `engines.windows.standardize`."""

STRIDE = 8
"""Window sides are multiples of this; keys and values have this stride."""

COVERAGE = 0.5
"""Added to the log-odds of every pixel.

The mask of best expected Jaccard index J also holds the pixels with a
probability from J / (1 + J) to 0.5; without them, unsure outlines shrink from
frame to frame.
"""


class Prediction(NamedTuple):
    """What the network says about a batch of windows.

    Attributes
    ----------
    mask_logits
        (B, 1, H, W).
    presence_logits
        (B,) whether the object is there at all.
    quality_logits
        (B,) expected Jaccard index of the mask, before the sigmoid.
    """

    mask_logits: Tensor
    presence_logits: Tensor
    quality_logits: Tensor

    @property
    def mask(self) -> Tensor:
        """(B, 1, H, W) float32 in [0, 1]: above 0.5 where the object is."""
        return (self.mask_logits.float() + COVERAGE).sigmoid()


class ConvNorm(nn.Sequential):
    """3x3 convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W) from (B, C, H, W)."""
        return functional.relu(x + self.norm(self.second(self.first(x))))


class Encoder(nn.Module):
    """Features at strides 2, 4 and 8."""

    def __init__(
        self, inputs: int, channels: tuple[int, int, int], blocks: tuple[int, int, int]
    ) -> None:
        super().__init__()
        stages = []
        for width, count in zip(channels, blocks, strict=True):
            stages.append(
                nn.Sequential(
                    ConvNorm(inputs, width, stride=2), *(ResidualBlock(width) for _ in range(count))
                )
            )
            inputs = width
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the features (B, C_s, H/s, W/s) for s = 2, 4, 8."""
        half = self.stages[0](x)
        quarter = self.stages[1](half)
        return half, quarter, self.stages[2](quarter)


class CompactNetwork(nn.Module):
    """Follow one object per window.

    Parameters
    ----------
    channels
        Widths at strides 2, 4 and 8.
    key_depth, value_depth
        D and V of the memory.
    top_k
        Memory positions read per query position.
    """

    def __init__(
        self,
        channels: tuple[int, int, int] = (32, 64, 96),
        key_depth: int = 48,
        value_depth: int = 96,
        top_k: int = 16,
    ) -> None:
        super().__init__()
        half, quarter, eighth = channels
        self.top_k = top_k
        self.image_encoder = Encoder(IMAGE_CHANNELS, (24, 48, eighth), (0, 1, 1))
        self.key = nn.Conv2d(eighth, key_depth, 3, padding=1)
        self.value_encoder = Encoder(IMAGE_CHANNELS + 2, (24, 48, eighth), (0, 1, 1))
        self.value = nn.Conv2d(2 * eighth, value_depth, 3, padding=1)
        self.guide_encoder = Encoder(2 * IMAGE_CHANNELS + 2, channels, (1, 1, 2))
        self.join = nn.Sequential(ConvNorm(2 * eighth + value_depth, eighth), ResidualBlock(eighth))
        self.to_quarter = nn.Conv2d(eighth, quarter, 1)
        self.decode_quarter = nn.Sequential(
            ConvNorm(quarter + quarter + 48, quarter), ResidualBlock(quarter)
        )
        self.to_half = nn.Conv2d(quarter, half, 1)
        self.decode_half = ConvNorm(half + half, half)
        self.to_full = nn.Conv2d(half, 16, 1)
        self.decode_full = nn.Sequential(
            ConvNorm(16 + IMAGE_CHANNELS + 2, 16), nn.Conv2d(16, 1, 3, padding=1)
        )
        self.judge = nn.Sequential(
            nn.Linear(2 * (eighth + quarter), 64), nn.ReLU(inplace=True), nn.Linear(64, 2)
        )

    def memory_key(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return key (B, D, H/8, W/8) and features at strides 8 and 4 of a (B, 4, H, W) image."""
        _, quarter, eighth = self.image_encoder(image)
        return self.key(eighth), eighth, quarter

    def memorize(self, image: Tensor, mask: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Return what to remember of a window.

        Parameters
        ----------
        image
            (B, 4, H, W), standardised.
        mask, others
            (B, 1, H, W) in [0, 1]: this object, and all other known ones.

        Returns
        -------
        tuple[Tensor, Tensor]
            Key (B, D, N) and value (B, V, N), N = H/8 · W/8.
        """
        key, eighth, _ = self.memory_key(image)
        _, _, marked = self.value_encoder(torch.cat([image, mask, others], dim=1))
        value = self.value(torch.cat([eighth, marked], dim=1))
        return key.flatten(2), value.flatten(2)

    def forward(
        self,
        image: Tensor,
        previous_image: Tensor,
        previous_mask: Tensor,
        previous_others: Tensor,
        memory_key: Tensor,
        memory_value: Tensor,
    ) -> Prediction:
        """Find the object in the current window.

        Parameters
        ----------
        image, previous_image
            (B, 4, H, W), standardised.
        previous_mask, previous_others
            (B, 1, H, W) in [0, 1] on the previous frame.
        memory_key, memory_value
            (B, D, N) and (B, V, N), see `memorize`.

        Raises
        ------
        ValueError
            If H or W is no multiple of `STRIDE`.
        """
        size = image.shape[-2:]
        if any(side % STRIDE for side in size):
            raise ValueError(f"Window sides must be multiples of {STRIDE}, got {tuple(size)}.")
        query_key, image_eighth, image_quarter = self.memory_key(image)
        guided = torch.cat([image, previous_image, previous_mask, previous_others], dim=1)
        half, quarter, eighth = self.guide_encoder(guided)
        readout = read_memory(memory_key, memory_value, query_key.flatten(2), top_k=self.top_k)
        readout = readout.reshape(*readout.shape[:2], *query_key.shape[-2:])
        eighth = self.join(torch.cat([eighth, image_eighth, readout], dim=1))
        quarter = self.decode_quarter(
            torch.cat([enlarge(self.to_quarter(eighth)), quarter, image_quarter], dim=1)
        )
        half = self.decode_half(torch.cat([enlarge(self.to_half(quarter)), half], dim=1))
        full = enlarge(self.to_full(half))
        mask_logits = self.decode_full(
            torch.cat([full, image, previous_mask, previous_others], dim=1)
        )
        inside = functional.interpolate(
            mask_logits.detach().sigmoid(), size=quarter.shape[-2:], mode="area"
        )
        coarse = functional.interpolate(inside, size=eighth.shape[-2:], mode="area")
        judged = self.judge(
            torch.cat(
                [_pool(eighth), _pool(eighth, coarse), _pool(quarter), _pool(quarter, inside)],
                dim=1,
            )
        )
        return Prediction(mask_logits, judged[:, 0], judged[:, 1])


def enlarge(x: Tensor) -> Tensor:
    """Return (B, C, 2 H, 2 W)."""
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _pool(features: Tensor, weight: Tensor | None = None) -> Tensor:
    if weight is None:
        return features.mean(dim=(2, 3))
    return (features * weight).sum(dim=(2, 3)) / (weight.sum(dim=(2, 3)) + 1e-3)

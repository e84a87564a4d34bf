"""The compact network: one object in its own window.

A space-time memory at stride 4 that is read twice: the long past, user frames and
kept frames, and the short past, the window before. Nothing else tells where the object
is, so that no mistake of the mask before is simply carried on.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_vos.networks.memory import read_memory

if TYPE_CHECKING:
    from collections.abc import Callable

COLOURS = 3
"""Channels of a picture; a grey one is repeated."""

IMAGE_CHANNELS = COLOURS + 1
"""The last one shows the dim parts; see `engines.windows.standardize`."""

STRIDE = 8
"""Window sides are multiples of this."""

MEMORY_STRIDE = 4
"""Of keys and values."""

PLACE_DEPTH = 3
"""Channels of a remembered key that tell its place in the window."""

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


class Features(NamedTuple):
    """What is seen of a window: features (B, ·, H/s, W/s) for s = 2, 4, 8; key (B, D, H/4, W/4)."""

    half: Tensor
    quarter: Tensor
    eighth: Tensor
    key: Tensor


class HalfInstanceNorm(nn.Module):
    """Instance norm of the first half of the channels, batch norm of the others.

    What a window's contrast and texture are like then matters less than what is where
    (Pan et al., IBN-Net, ECCV 2018, section 3.2), which carries over from simulated to
    real movies.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.split = [channels // 2, channels - channels // 2]
        self.instance = nn.InstanceNorm2d(self.split[0], affine=True)
        self.batch = nn.BatchNorm2d(self.split[1])

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W) from (B, C, H, W)."""
        instance, batch = torch.split(x, self.split, dim=1)
        return torch.cat([self.instance(instance), self.batch(batch)], dim=1)


class ConvNorm(nn.Sequential):
    """3x3 convolution, norm, ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int = 1,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            norm(outputs),
            nn.ReLU(inplace=True),
        )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, channels: int, norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels, norm=norm)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W) from (B, C, H, W)."""
        return functional.relu(x + self.norm(self.second(self.first(x))))


class Encoder(nn.Module):
    """Features at strides 2, 4 and 8.

    Parameters
    ----------
    inputs
        Channels of the input.
    channels
        Widths at the three strides.
    blocks
        Residual blocks there.
    shallow_norm
        Norm at strides 2 and 4.
    """

    def __init__(
        self,
        inputs: int,
        channels: tuple[int, int, int],
        blocks: tuple[int, int, int],
        shallow_norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        stages = []
        norms = (shallow_norm, shallow_norm, nn.BatchNorm2d)
        for width, count, norm in zip(channels, blocks, norms, strict=True):
            stages.append(
                nn.Sequential(
                    ConvNorm(inputs, width, 2, norm),
                    *(ResidualBlock(width, norm) for _ in range(count)),
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
    decoded
        Widths of what is decoded at strides 1, 2 and 4.
    """

    def __init__(
        self,
        channels: tuple[int, int, int] = (24, 48, 96),
        key_depth: int = 32,
        value_depth: int = 64,
        decoded: tuple[int, int, int] = (16, 32, 64),
    ) -> None:
        super().__init__()
        half, quarter, eighth = channels
        full_width, half_width, quarter_width = decoded
        self.image_encoder = Encoder(IMAGE_CHANNELS, channels, (0, 1, 1), HalfInstanceNorm)
        self.key_context = nn.Conv2d(eighth, quarter, 1)
        self.key = nn.Conv2d(2 * quarter, key_depth, 3, padding=1)
        self.value_encoder = Encoder(IMAGE_CHANNELS + 2, channels, (0, 1, 1), HalfInstanceNorm)
        self.value_context = nn.Conv2d(eighth, quarter, 1)
        self.value = nn.Conv2d(3 * quarter, value_depth, 3, padding=1)
        self.nearness = nn.Parameter(torch.tensor([1.7, 3.4]))
        self.join = ConvNorm(2 * value_depth + quarter, quarter_width)
        self.down = ConvNorm(quarter_width, eighth, stride=2)
        self.decode_eighth = nn.Sequential(ConvNorm(2 * eighth, eighth), ResidualBlock(eighth))
        self.to_quarter = nn.Conv2d(eighth, quarter_width, 1)
        self.decode_quarter = nn.Sequential(
            ConvNorm(2 * quarter_width, quarter_width), ResidualBlock(quarter_width)
        )
        self.to_half = nn.Conv2d(quarter_width, half_width, 1)
        self.decode_half = ConvNorm(half_width + half, half_width)
        self.to_full = nn.Conv2d(half_width, full_width, 1)
        self.decode_full = nn.Sequential(
            ConvNorm(full_width + IMAGE_CHANNELS, full_width),
            nn.Conv2d(full_width, 1, 3, padding=1),
        )
        self.judge = nn.Sequential(
            nn.Linear(2 * (eighth + quarter_width), 64), nn.ReLU(inplace=True), nn.Linear(64, 2)
        )

    def look(self, image: Tensor) -> Features:
        """Return what is seen of windows (B, 4, H, W), standardised."""
        half, quarter, eighth = self.image_encoder(image)
        context = enlarge(self.key_context(eighth))
        return Features(half, quarter, eighth, self.key(torch.cat([quarter, context], dim=1)))

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
            Key (B, D + `PLACE_DEPTH`, N) with the place in the window, and value (B, V, N),
            N = H/4 · W/4.
        """
        seen = self.look(image)
        _, marked, marked_eighth = self.value_encoder(torch.cat([image, mask, others], dim=1))
        context = enlarge(self.value_context(marked_eighth))
        value = self.value(torch.cat([seen.quarter, marked, context], dim=1))
        y, x = _places(seen.key)
        place = torch.stack([2 * y, 2 * x, -(y**2 + x**2)]).expand(len(image), -1, -1, -1)
        return torch.cat([seen.key, place], dim=1).flatten(2), value.flatten(2)

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
            (B, D + 3, N) and (B, V, N), see `memorize`.

        Raises
        ------
        ValueError
            If H or W is no multiple of `STRIDE`.
        """
        size = image.shape[-2:]
        if any(side % STRIDE for side in size):
            raise ValueError(f"Window sides must be multiples of {STRIDE}, got {tuple(size)}.")
        seen = self.look(image)
        previous = self.memorize(previous_image, previous_mask, previous_others)
        long = self._read(seen.key, memory_key, memory_value, self.nearness[0])
        short = self._read(seen.key, *previous, self.nearness[1])
        joined = self.join(torch.cat([long, short, seen.quarter], dim=1))
        eighth = self.decode_eighth(torch.cat([self.down(joined), seen.eighth], dim=1))
        quarter = self.decode_quarter(torch.cat([joined, enlarge(self.to_quarter(eighth))], dim=1))
        half = self.decode_half(torch.cat([enlarge(self.to_half(quarter)), seen.half], dim=1))
        mask_logits = self.decode_full(torch.cat([enlarge(self.to_full(half)), image], dim=1))
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

    def _read(
        self, query_key: Tensor, memory_key: Tensor, memory_value: Tensor, nearness: Tensor
    ) -> Tensor:
        """Read a memory; windows follow their object, so what lies nearer is likelier the same.

        The affinity falls by the squared distance times `nearness`, with 2 for a
        window's side.
        """
        y, x = _places(query_key)
        # |p - q|² is taken apart into a product of keys and what no softmax sees.
        weight = nearness.abs() * math.sqrt(memory_key.shape[1])
        place = weight * torch.stack([y, x, torch.ones_like(x)])
        query = torch.cat([query_key, place.expand(len(query_key), -1, -1, -1)], dim=1)
        readout = read_memory(memory_key, memory_value, query.flatten(2), top_k=None)
        return readout.reshape(*readout.shape[:2], *query_key.shape[-2:])


def _places(key: Tensor) -> tuple[Tensor, Tensor]:
    """Return y and x, each (H, W), from -1 to 1 over a window."""
    rows, columns = (
        torch.linspace(-1, 1, side, device=key.device, dtype=key.dtype) for side in key.shape[-2:]
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return y, x


def enlarge(x: Tensor) -> Tensor:
    """Return (B, C, 2 H, 2 W)."""
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _pool(features: Tensor, weight: Tensor | None = None) -> Tensor:
    if weight is None:
        return features.mean(dim=(2, 3))
    return (features * weight).sum(dim=(2, 3)) / (weight.sum(dim=(2, 3)) + 1e-3)

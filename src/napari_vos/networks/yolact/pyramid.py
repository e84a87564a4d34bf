"""The feature pyramid: the trunk's three levels made alike, and two coarser ones.

Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017. Names of
attributes follow the keys of the authors' checkpoints of YOLACT.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

DEPTH = 256
"""Channels of all levels, as published."""

N_COARSER = 2


class FeaturePyramid(nn.Module):
    """Five levels, P3 to P7 at the strides 8 to 128 if the trunk gives C3 to C5.

    Parameters
    ----------
    channels
        Of the trunk's three levels.
    depth
        Channels of all levels.
    interpolation
        How coarse levels are enlarged, "bilinear" or "nearest".
    """

    def __init__(
        self, channels: Sequence[int], depth: int = DEPTH, interpolation: str = "bilinear"
    ) -> None:
        super().__init__()
        self.interpolation = interpolation
        deepest_first = tuple(reversed(channels))
        self.lat_layers = nn.ModuleList(nn.Conv2d(inputs, depth, 1) for inputs in deepest_first)
        self.pred_layers = nn.ModuleList(nn.Conv2d(depth, depth, 3, padding=1) for _ in channels)
        self.downsample_layers = nn.ModuleList(
            nn.Conv2d(depth, depth, 3, 2, padding=1) for _ in range(N_COARSER)
        )

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return five levels (B, depth, H, W), the finest first, from the trunk's three.

        What a level hands down to the finer one is what it has before its own
        3x3 convolution.
        """
        levels: list[Tensor] = []
        handed_down: Tensor | None = None
        for x, lateral, predict in zip(
            reversed(features), self.lat_layers, self.pred_layers, strict=True
        ):
            total = lateral(x)
            if handed_down is not None:
                total = total + functional.interpolate(
                    handed_down, size=x.shape[-2:], mode=self.interpolation
                )
            handed_down = total
            levels.insert(0, functional.relu(predict(total)))
        for downsample in self.downsample_layers:
            levels.append(downsample(levels[-1]))
        return tuple(levels)

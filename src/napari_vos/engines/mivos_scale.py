"""The size at which MiVOS sees a frame: enlarged for small objects, padded to its stride."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from torch.nn import functional

from napari_vos.networks.mivos.propagation import STRIDE
from napari_vos.networks.padding import Padding

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

SMALL_OBJECT = 48
"""Objects with a shorter side than this are enlarged: it is three cells of the memory."""

LARGEST_SCALE = 4.0


def scale_for(side: float | None) -> float:
    """Return how much to enlarge frames for objects of this side.

    As much as makes it `SMALL_OBJECT` pixels, in steps of a half, so that similar
    objects are seen at the same size; frames are never reduced.

    Parameters
    ----------
    side
        The median side of the objects, in pixels; None if it isn't known.
    """
    if side is None:
        return 1.0
    return min(LARGEST_SCALE, max(1.0, math.ceil(2 * SMALL_OBJECT / side) / 2))


@dataclass(frozen=True)
class WorkingFrame:
    """The way of a frame's planes to the size the networks take, and back.

    It is gone on the CPU, so that it is the same for all devices.

    Attributes
    ----------
    shape
        (Y, X) of the frame.
    scale
        How much larger it is seen. At 1 no pixel is interpolated.
    """

    shape: tuple[int, int]
    scale: float

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the scaled frame."""
        height, width = (max(1, round(side * self.scale)) for side in self.shape)
        return height, width

    @property
    def padding(self) -> Padding:
        """What makes the scaled frame a multiple of the stride."""
        return Padding.to_multiple(STRIDE, self.size)

    @property
    def padded(self) -> tuple[int, int]:
        """(H, W) as the networks see it."""
        left, right, top, bottom = self.padding
        return self.size[0] + top + bottom, self.size[1] + left + right

    @cached_property
    def border(self) -> NDArray[np.bool_]:
        """(H, W) bool: where there is no frame but padding."""
        left, _, top, _ = self.padding
        border = np.ones(self.padded, bool)
        border[top : top + self.size[0], left : left + self.size[1]] = False
        return border

    def enter(self, planes: Tensor) -> Tensor:
        """Return (B, C, Y, X) as (B, C, H, W), 0 in the border."""
        return self.padding.add(_resized(planes, self.size))

    def leave(self, planes: Tensor) -> Tensor:
        """Return (B, C, H, W) as (B, C, Y, X)."""
        return _resized(self.padding.remove(planes), self.shape)


def _resized(planes: Tensor, size: tuple[int, int]) -> Tensor:
    if planes.shape[-2:] == size:
        return planes
    if size[0] < planes.shape[-2]:
        return functional.interpolate(planes, size=size, mode="area")
    return functional.interpolate(planes, size=size, mode="bilinear", align_corners=False)

"""Frames of any size for networks that want multiples of their stride."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


class Padding(NamedTuple):
    """Zeros around a frame, in pixels; images are padded after their normalisation."""

    left: int
    right: int
    top: int
    bottom: int

    @classmethod
    def to_multiple(cls, multiple: int, size: tuple[int, int]) -> Self:
        """Return what makes (height, width) multiples; an odd pixel goes right or below."""
        height, width = (-side % multiple for side in size)
        return cls(width // 2, width - width // 2, height // 2, height - height // 2)

    def add(self, x: Tensor) -> Tensor:
        """Return (..., H, W) padded."""
        return functional.pad(x, self)

    def remove(self, x: Tensor) -> Tensor:
        """Return padded (..., H, W) as it was."""
        height, width = x.shape[-2:]
        return x[..., self.top : height - self.bottom, self.left : width - self.right]

"""Square windows on a frame, resampled to network pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

WINDOW_SIZE = 96
"""Side of a window in network pixels."""

CONTEXT = 1.5
"""Side of a window, relative to the longest side of its object's box."""

SMALLEST_SIDE = 32.0
"""Side below which no window goes, in data pixels."""


def window_side(extent: Tensor) -> Tensor:
    """Return the side of the window for objects of `extent`, both in data pixels."""
    return torch.clamp(CONTEXT * extent, min=SMALLEST_SIDE)


def crop_windows(
    planes: Tensor,
    centers: Tensor,
    sides: Tensor,
    *,
    size: int = WINDOW_SIZE,
    outside: str = "zeros",
) -> Tensor:
    """Resample square windows.

    Windows that cover more than one data pixel per network pixel are averaged
    over a finer grid, so that nothing aliases.

    Parameters
    ----------
    planes
        (B, C, H, W) float, one image per window.
    centers
        (B, 2) float (y, x) of the windows' centres in data pixels.
    sides
        (B,) float, sides in data pixels.
    size
        Side in network pixels.
    outside
        What lies outside the image: "zeros", or "border" to repeat the edge.

    Returns
    -------
    Tensor
        (B, C, size, size) float.
    """
    finer = min(4, max(1, math.ceil(float(sides.max()) / size - 0.25)))
    grid = _grid(centers, sides, planes.shape[-2:], size * finer)
    sampled = functional.grid_sample(planes, grid, padding_mode=outside, align_corners=False)
    return functional.avg_pool2d(sampled, finer) if finer > 1 else sampled


def _grid(centers: Tensor, sides: Tensor, shape: torch.Size, size: int) -> Tensor:
    steps = (torch.arange(size, device=centers.device, dtype=centers.dtype) + 0.5) / size - 0.5
    rows = centers[:, :1] + steps * sides[:, None]
    columns = centers[:, 1:] + steps * sides[:, None]
    height, width = shape
    y = (2 * rows + 1) / height - 1
    x = (2 * columns + 1) / width - 1
    return torch.stack(
        [x[:, None, :].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], dim=-1
    )


def within_frame(
    centers: Tensor, sides: Tensor, shape: tuple[int, int], *, size: int = WINDOW_SIZE
) -> Tensor:
    """Return (B, 1, size, size) float: 1 where a window shows the frame, 0 beyond its border."""
    steps = (torch.arange(size, device=centers.device, dtype=centers.dtype) + 0.5) / size - 0.5
    rows = centers[:, :1] + steps * sides[:, None]
    columns = centers[:, 1:] + steps * sides[:, None]
    height, width = shape
    visible_rows = (rows >= -0.5) & (rows <= height - 0.5)
    visible_columns = (columns >= -0.5) & (columns <= width - 0.5)
    return (visible_rows[:, :, None] & visible_columns[:, None, :])[:, None].to(centers.dtype)


def mark_border(image: Tensor, others: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Show the network where the frame ends.

    Beyond the border the image is 0 and others is -1: a mask that is cut there
    is cut by the frame, and grows when the object moves in.
    """
    return image * visible, others * visible - (1 - visible)


def paste_windows(
    windows: Tensor, centers: Tensor, sides: Tensor, shape: tuple[int, int]
) -> Tensor:
    """Put (B, C, s, s) windows back on (B, C, *shape) planes; 0 outside the windows."""
    size = windows.shape[-1]
    height, width = shape
    rows = torch.arange(height, device=windows.device, dtype=centers.dtype)
    columns = torch.arange(width, device=windows.device, dtype=centers.dtype)
    y = 2 * (rows[None] - centers[:, :1]) / sides[:, None]
    x = 2 * (columns[None] - centers[:, 1:]) / sides[:, None]
    grid = torch.stack(
        [x[:, None, :].expand(-1, height, -1), y[:, :, None].expand(-1, -1, width)], dim=-1
    )
    # A half-pixel margin keeps the border of a window from fading to 0.
    padded = functional.pad(windows, (1, 1, 1, 1), mode="replicate")
    inside = (grid.abs() <= 1).all(dim=-1)[:, None]
    pasted = functional.grid_sample(padded, grid * (size / (size + 2)), align_corners=False)
    return pasted * inside


def standardize(windows: Tensor) -> Tensor:
    """Bring windows to the network's scale.

    Each window by its own numbers in each frame: contrast may change over the
    movie and differ between cells.

    Parameters
    ----------
    windows
        (B, C, H, W) float, any scale.

    Returns
    -------
    Tensor
        (B, C + 1, H, W): every channel with mean 0 and deviation 1, clipped to
        ±6; and their mean relative to the noise of its background, on a
        logarithmic scale, so that dim parts show beside bright ones.
    """
    mean = windows.mean(dim=(2, 3), keepdim=True)
    deviation = windows.std(dim=(2, 3), keepdim=True)
    linear = ((windows - mean) / (deviation + 1e-4 * mean.abs() + 1e-8)).clamp(-6, 6)
    grey = windows.mean(dim=1, keepdim=True)
    middle = _median(grey)
    spread = 1.5 * _median((grey - middle).abs()) + 0.02 * deviation.mean(dim=1, keepdim=True)
    relative = (grey - middle) / (spread + 1e-4 * middle.abs() + 1e-8)
    return torch.cat([linear, relative.sign() * relative.abs().log1p()], dim=1)


def _median(plane: Tensor) -> Tensor:
    """Return (B, 1, 1, 1) from (B, 1, H, W)."""
    return plane.flatten(1).median(dim=1).values[:, None, None, None]

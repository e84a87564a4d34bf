"""Masks: prototypes combined, cropped to boxes, brought to the size of the image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from napari_vos.networks.yolact.boxes import in_pixels, to_centred

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
}
"""What makes masks of weighted prototypes, by name."""

MARGIN = 1
"""Prototype pixels a mask may reach beyond its box."""


def combine(
    prototypes: Tensor,
    coefficients: Tensor,
    activation: Callable[[Tensor], Tensor] = torch.sigmoid,
) -> Tensor:
    """Return masks (D, H, W), in [0, 1] if the activation is the sigmoid.

    Parameters
    ----------
    prototypes
        (H, W, 32) of one image.
    coefficients
        (D, 32), one row for each instance.
    activation
        What makes masks of the weighted sums.
    """
    return activation((prototypes @ coefficients.T).movedim(-1, 0))


def crop(masks: Tensor, boxes: Tensor) -> Tensor:
    """Return masks (D, H, W) that are 0 more than `MARGIN` outside of their boxes.

    Parameters
    ----------
    masks
        (D, H, W).
    boxes
        (D, 4) corners as shares of the image.
    """
    height, width = size = (masks.shape[-2], masks.shape[-1])
    low_x, low_y, high_x, high_y = in_pixels(boxes, size)[:, :, None].unbind(1)
    rows = torch.arange(height, device=masks.device)
    columns = torch.arange(width, device=masks.device)
    in_rows = (rows >= low_y - MARGIN) & (rows < high_y + MARGIN)
    in_columns = (columns >= low_x - MARGIN) & (columns < high_x + MARGIN)
    return masks * (in_rows[:, :, None] & in_columns[:, None])


def paste(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return masks (D, H, W) in [0, 1] of an image, from those of boxes.

    Parameters
    ----------
    masks
        (D, S, S) in [0, 1], stretched to their boxes.
    boxes
        (D, 4) corners as shares of the image.
    size
        (height, width) of the image.
    """
    rows, columns = ((torch.arange(length, device=boxes.device) + 0.5) / length for length in size)
    centred = to_centred(boxes)[:, :, None]
    x = 2 * (columns - centred[:, 0]) / centred[:, 2]  # -1 and 1 at the borders of the box
    y = 2 * (rows - centred[:, 1]) / centred[:, 3]
    shape = (len(boxes), *size)
    grid = torch.stack([x[:, None].expand(shape), y[:, :, None].expand(shape)], dim=-1)
    stretched = functional.grid_sample(
        masks[:, None], grid, padding_mode="border", align_corners=False
    )[:, 0]
    return stretched * (grid.abs() <= 1).all(dim=-1)


def cut_out(masks: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Return (D, S, S): how much of masks (D, H, W) is in each part of their boxes (D, 4)."""
    height, width = size = (masks.shape[-2], masks.shape[-1])
    far = boxes.new_tensor([width, height])
    corners = in_pixels(boxes, size).round()
    first = corners[:, :2].minimum(far - 1)
    last = corners[:, 2:].maximum(first + 1)
    spans = torch.cat([first, last], dim=1).long().tolist()
    pieces = [
        functional.adaptive_avg_pool2d(mask[None, top:bottom, left:right], side)
        for mask, (left, top, right, bottom) in zip(masks, spans, strict=True)
    ]
    return torch.cat(pieces) if pieces else masks.new_zeros(0, side, side)


def rescale(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Return masks (D, H', W') of `size` from (D, H, W), both in [0, 1]."""
    resized = functional.interpolate(
        masks[:, None], size=size, mode="bilinear", align_corners=False
    )
    return resized[:, 0]


def resize(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Return masks (D, H', W') bool of `size` from (D, H, W) in [0, 1]."""
    return rescale(masks, size) > 0.5

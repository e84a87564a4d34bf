"""Boxes: how they are coded against priors, and how much they overlap.

Corners are (x1, y1, x2, y2), centred boxes (cx, cy, w, h), both as shares of the
image unless said otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor

CENTRE_VARIANCE = 0.1
SIDE_VARIANCE = 0.2
"""What codes are multiplied with: how far boxes are from priors as a rule."""


def to_corners(centred: Tensor) -> Tensor:
    """Return corners (..., 4) of centred boxes."""
    centre, sides = centred[..., :2], centred[..., 2:]
    return torch.cat([centre - sides / 2, centre + sides / 2], dim=-1)


def to_centred(corners: Tensor) -> Tensor:
    """Return centred boxes (..., 4) of corners."""
    first, last = corners[..., :2], corners[..., 2:]
    return torch.cat([(first + last) / 2, last - first], dim=-1)


def decode(codes: Tensor, priors: Tensor) -> Tensor:
    """Return corners, which may lie outside the image.

    Parameters
    ----------
    codes
        (..., N, 4).
    priors
        (N, 4) centred.
    """
    shift, stretch = codes[..., :2], codes[..., 2:]
    centre, sides = priors[..., :2], priors[..., 2:]
    centred = [
        centre + shift * CENTRE_VARIANCE * sides,
        sides * torch.exp(stretch * SIDE_VARIANCE),
    ]
    return to_corners(torch.cat(centred, dim=-1))


def encode(corners: Tensor, priors: Tensor) -> Tensor:
    """Return the codes (..., N, 4) from which `decode` makes these boxes."""
    centred = to_centred(corners)
    shift = (centred[..., :2] - priors[..., :2]) / (CENTRE_VARIANCE * priors[..., 2:])
    stretch = torch.log(centred[..., 2:] / priors[..., 2:]) / SIDE_VARIANCE
    return torch.cat([shift, stretch], dim=-1)


def confine(raw: Tensor, priors: Tensor, steps: Tensor) -> Tensor:
    """Return codes (..., N, 4) of boxes whose centres stay at their positions, as YOLO has it.

    Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger", CVPR 2017.

    Parameters
    ----------
    raw
        (..., N, 4): a shift in units of the position's size, before the sigmoid, and
        the logarithm of how much the prior is stretched.
    priors
        (N, 4) centred.
    steps
        (N, 2): width and height of the positions, as shares of the image.
    """
    shift = (raw[..., :2].sigmoid() - 0.5) * steps
    return torch.cat(
        [shift / (CENTRE_VARIANCE * priors[..., 2:]), raw[..., 2:] / SIDE_VARIANCE], dim=-1
    )


def area(corners: Tensor, *, pixel: float = 0) -> Tensor:
    """Return (...): of boxes (..., 4) whose last pixel is `pixel` wide."""
    width, height = (corners[..., 2:] - corners[..., :2] + pixel).unbind(-1)
    return width * height


def intersection(first: Tensor, second: Tensor, *, pixel: float = 0) -> Tensor:
    """Return areas (..., A, B) that boxes (..., A, 4) and (..., B, 4) share."""
    # One plane for each coordinate: much faster than pairs of them.
    a, b = first[..., :, None, :].unbind(-1), second[..., None, :, :].unbind(-1)
    width, height = (
        (torch.minimum(a[i + 2], b[i + 2]) - torch.maximum(a[i], b[i]) + pixel).clamp(min=0)
        for i in range(2)
    )
    return width * height


def intersection_over_union(first: Tensor, second: Tensor, *, pixel: float = 0) -> Tensor:
    """Return the overlap (..., A, B) in [0, 1] of boxes (..., A, 4) and (..., B, 4).

    Parameters
    ----------
    first, second
        Corners.
    pixel
        1 if the corners are pixels that belong to the box.
    """
    shared = intersection(first, second, pixel=pixel)
    areas = area(first, pixel=pixel)[..., :, None] + area(second, pixel=pixel)[..., None, :]
    return shared / (areas - shared)


def in_pixels(corners: Tensor, size: tuple[int, int]) -> Tensor:
    """Return corners (..., 4) in pixels of an image of (height, width), inside it and in order."""
    height, width = size
    far = corners.new_tensor([width, height])
    first, last = corners[..., :2] * far, corners[..., 2:] * far
    low, high = torch.minimum(first, last), torch.maximum(first, last)
    return torch.cat([low.clamp(min=0), torch.minimum(high, far)], dim=-1)

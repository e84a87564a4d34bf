"""Matching: which true instance each prior is to learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from napari_vos.networks.yolact.boxes import (
    area,
    encode,
    intersection,
    intersection_over_union,
    to_corners,
)

BACKGROUND = 0
NEUTRAL = -1
"""Targets of priors that show nothing, and of those that aren't to be judged."""

NEVER = -1.0
"""Less than any overlap."""


@dataclass(frozen=True)
class Truth:
    """What is on an image; G instances.

    Attributes
    ----------
    boxes
        (G, 4) corners as shares of the image.
    classes
        (G,) integers, from 0 without the background.
    masks
        (G, H, W), 0 or 1.
    crowds
        (Q, 4) corners of regions with instances that aren't told apart.
    unknown
        (H, W) bool: where it isn't known what there is; None if it is everywhere.
    """

    boxes: Tensor
    classes: Tensor
    masks: Tensor
    crowds: Tensor
    unknown: Tensor | None = None


class Match(NamedTuple):
    """What N priors are to learn.

    Attributes
    ----------
    codes
        (N, 4): the box of the matched instance, encoded; of no meaning where
        nothing was matched.
    classes
        (N,) integers: class + 1, `BACKGROUND` or `NEUTRAL`.
    instances
        (N,) integers: index of the instance the prior overlaps with most.
    """

    codes: Tensor
    classes: Tensor
    instances: Tensor


def match(
    truth: Truth,
    priors: Tensor,
    *,
    positive: float = 0.5,
    negative: float = 0.4,
    crowd: float = 0.7,
) -> Match:
    """Match priors with instances.

    Each instance claims the prior it overlaps with most, those with the largest
    overlap first; a prior is claimed once. The others go to the instance they
    overlap with most.

    Parameters
    ----------
    truth
        Of one image.
    priors
        (N, 4) centred.
    positive
        Overlap (IoU) from which on a prior shows its instance.
    negative
        Overlap below which it shows nothing; between the two it is neutral.
    crowd
        A prior that shows no instance is neutral if more of its area lies in a
        crowd, or where it isn't known what there is.
    """
    corners = to_corners(priors)
    n_priors = len(priors)
    if len(truth.boxes):
        overlaps = intersection_over_union(truth.boxes, corners)
        best, instances = overlaps.max(dim=0)
        for instance, prior in _claims(overlaps):
            instances[prior] = instance
            best[prior] = 1
        classes = truth.classes[instances] + 1
        classes[best < positive] = NEUTRAL
        classes[best < negative] = BACKGROUND
        codes = encode(truth.boxes[instances], priors)
    else:
        instances = torch.zeros(n_priors, dtype=torch.long, device=priors.device)
        classes = torch.full_like(instances, BACKGROUND)
        codes = torch.zeros_like(priors)
    if len(truth.crowds):
        share = (intersection(corners, truth.crowds) / area(corners)[:, None]).amax(dim=1)
        classes[(classes <= BACKGROUND) & (share > crowd)] = NEUTRAL
    if truth.unknown is not None:
        share = _share(truth.unknown, corners)
        classes[(classes <= BACKGROUND) & (share > crowd)] = NEUTRAL
    return Match(codes, classes, instances)


def _claims(overlaps: Tensor) -> list[tuple[int, int]]:
    """Return (instance, prior) for each row of (G, N)."""
    free = overlaps.clone()
    claims = []
    overlap, prior_of = free.max(dim=1)
    for _ in range(min(free.shape)):
        instance = int(overlap.argmax())
        prior = int(prior_of[instance])
        claims.append((instance, prior))
        free[:, prior] = NEVER
        free[instance] = NEVER
        bereft = (prior_of == prior).nonzero()[:, 0]
        overlap[bereft], prior_of[bereft] = free[bereft].max(dim=1)
    return claims


def _share(region: Tensor, corners: Tensor) -> Tensor:
    """Return (N,): how much of boxes (N, 4), as far as they are in the image, lies in (H, W)."""
    height, width = region.shape
    total = functional.pad(region.double().cumsum(0).cumsum(1), (1, 0, 1, 0))
    far = corners.new_tensor([width, height])
    low = (corners[:, :2] * far).round().clamp(min=0).minimum(far - 1).long()
    high = (corners[:, 2:] * far).round().minimum(far).long().maximum(low + 1)
    (left, top), (right, bottom) = low.unbind(-1), high.unbind(-1)
    inside = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
    return inside / (high - low).prod(dim=1)

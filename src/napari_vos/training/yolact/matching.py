"""Matching: which true instance each prior is to learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

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
    """

    boxes: Tensor
    classes: Tensor
    masks: Tensor
    crowds: Tensor


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
        crowd.
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
    return Match(codes, classes, instances)


def _claims(overlaps: Tensor) -> list[tuple[int, int]]:
    """Return (instance, prior) for each row of (G, N)."""
    free = overlaps.clone()
    claims = []
    for _ in range(min(free.shape)):
        overlap, prior_of = free.max(dim=1)
        instance = int(overlap.argmax())
        prior = int(prior_of[instance])
        free[:, prior] = NEVER
        free[instance] = NEVER
        claims.append((instance, prior))
    return claims

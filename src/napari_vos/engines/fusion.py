"""Blending new evidence with what was believed before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_vos.store.evidence import Box, ObjectEvidence

if TYPE_CHECKING:
    from numpy.typing import NDArray


def blend(new: ObjectEvidence, old: ObjectEvidence, share: float) -> ObjectEvidence:
    """Return `share` of the new evidence of an object and the rest of the old.

    Where two passes have come to different masks at most one of them is right: if both
    count, the confidence is multiplied by the Jaccard index of the two.
    """
    box = Box(
        min(new.box.top, old.box.top),
        min(new.box.left, old.box.left),
        max(new.box.bottom, old.box.bottom),
        max(new.box.right, old.box.right),
    )
    parts = np.zeros((2, *box.shape), np.float32)
    add_to(parts[0], box, new)
    add_to(parts[1], box, old)
    blended = share * parts[0] + (1 - share) * parts[1]
    confidence = share * new.confidence + (1 - share) * old.confidence
    if 0 < share < 1:
        confidence *= _agreement(*(parts > 0.5))
    return replace(new, box=box, probability=blended.astype(np.float16), confidence=confidence)


def _agreement(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the Jaccard index of two masks of the same shape; 1 if both are empty."""
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 1.0


def add_to(
    target: NDArray[np.float32], region: Box, item: ObjectEvidence, share: float = 1.0
) -> None:
    """Add the part of an object's probability that lies in `region` to `target`."""
    top, left = max(region.top, item.box.top), max(region.left, item.box.left)
    bottom, right = min(region.bottom, item.box.bottom), min(region.right, item.box.right)
    if top >= bottom or left >= right:
        return
    source = item.probability[
        top - item.box.top : bottom - item.box.top, left - item.box.left : right - item.box.left
    ]
    target[top - region.top : bottom - region.top, left - region.left : right - region.left] += (
        share * source.astype(np.float32)
    )

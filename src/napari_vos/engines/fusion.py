"""Blending new evidence with what was believed before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_vos.store.evidence import Box, ObjectEvidence

if TYPE_CHECKING:
    from numpy.typing import NDArray


def blend(new: ObjectEvidence, old: ObjectEvidence, share: float) -> ObjectEvidence:
    """Return `share` of the new evidence of an object and the rest of the old."""
    box = Box(
        min(new.box.top, old.box.top),
        min(new.box.left, old.box.left),
        max(new.box.bottom, old.box.bottom),
        max(new.box.right, old.box.right),
    )
    blended = np.zeros(box.shape, np.float32)
    add_to(blended, box, new, share)
    add_to(blended, box, old, 1 - share)
    confidence = share * new.confidence + (1 - share) * old.confidence
    return replace(new, box=box, probability=blended.astype(np.float16), confidence=confidence)


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

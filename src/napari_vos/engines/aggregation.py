"""Soft aggregation: overlapping windows on one frame become one distribution per pixel."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_vos.store.evidence import ObjectEvidence

SMALLEST = 1e-4
"""Probabilities are clamped to [this, 1 - this] before log-odds are taken."""


def aggregate(
    objects: Sequence[ObjectEvidence],
    frozen: Iterable[ObjectEvidence],
    shape: tuple[int, int],
    *,
    gaps: bool = False,
) -> tuple[ObjectEvidence, ...]:
    """Make independent probabilities of overlapping objects compete.

    Each pixel gets a softmax over the log-odds of all objects and of the
    background, whose probability is the product of the objects' complements
    (MiVOS, section 3.2, after Oh et al., STM, ICCV 2019, section 3.4). The
    work grows with the windows' areas.

    Parameters
    ----------
    objects
        Evidence of single objects, each as if it were alone.
    frozen
        Evidence that takes part and isn't changed.
    shape
        (Y, X) of the frame.
    gaps
        Whether the background has what the most probable object leaves, and not the
        product: then a pixel between two objects stays background if neither
        is likelier than not.

    Returns
    -------
    tuple[ObjectEvidence, ...]
        `objects` in their order, with aggregated probabilities.
    """
    everything = [*objects, *frozen]
    if not everything:
        return ()
    top = min(item.box.top for item in everything)
    left = min(item.box.left for item in everything)
    bottom = max(item.box.bottom for item in everything)
    right = max(item.box.right for item in everything)
    area = min(bottom, shape[0]) - top, min(right, shape[1]) - left
    odds = np.zeros(area, np.float32)
    log_background = np.zeros(area, np.float32)
    best = np.zeros(area, np.float32)

    def window(item: ObjectEvidence) -> tuple[slice, slice]:
        rows, columns = item.box.slices
        return (
            slice(rows.start - top, rows.stop - top),
            slice(columns.start - left, columns.stop - left),
        )

    for item in everything:
        probability = _clamped(item)
        odds[window(item)] += probability / (1 - probability)
        log_background[window(item)] += np.log1p(-probability)
        best[window(item)] = np.maximum(best[window(item)], probability)
    remainder = 1 - best if gaps else np.exp(log_background)
    result = []
    for item in objects:
        probability = _clamped(item)
        background = np.clip(remainder[window(item)], 1e-7, 1 - SMALLEST)
        total = odds[window(item)] + background / (1 - background)
        aggregated = probability / (1 - probability) / total
        result.append(replace(item, probability=aggregated.astype(np.float16)))
    return tuple(result)


def _clamped(item: ObjectEvidence) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.clip(item.probability.astype(np.float32), SMALLEST, 1 - SMALLEST)

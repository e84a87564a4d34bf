"""From windows of evidence to the labels of a frame."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_vos.store.evidence import Box, ObjectEvidence, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BACKGROUND = 0


def labels_of(objects: Iterable[ObjectEvidence], shape: tuple[int, int]) -> NDArray[np.uint16]:
    """Return at each pixel the most probable object, or 0 for background.

    The background has what the objects leave of 1. Where two are equal, the
    background comes before objects, the user's own before others, smaller ids
    before larger ones. The work grows with the area of the windows, whatever
    the number of objects and the size of the frame.

    Parameters
    ----------
    objects
        Evidence of one frame, in any order.
    shape
        (Y, X) of the frame.

    Returns
    -------
    labels
        (Y, X) uint16.
    """
    in_order = sorted(objects, key=lambda item: (item.source is not Source.USER, item.object_id))
    labels = np.zeros(shape, np.uint16)
    best = np.zeros(shape, np.float32)
    total = np.zeros(shape, np.float32)
    for item in in_order:
        window = item.box.slices
        probability = item.probability.astype(np.float32)
        total[window] += probability
        better = probability > best[window]
        labels[window][better] = item.object_id
        best[window][better] = probability[better]
    for item in in_order:
        window = item.box.slices
        labels[window][best[window] <= 1 - total[window]] = _BACKGROUND
    return labels


def labels_with_locks(
    objects: Iterable[ObjectEvidence],
    current: NDArray[np.uint16],
    locked_ids: Collection[int],
) -> NDArray[np.uint16]:
    """Return the labels of a frame on which some objects are accepted.

    A locked object keeps its pixels of `current` bit for bit and gains none;
    where it would gain, background stays. Id 0 locks the background.

    Parameters
    ----------
    objects
        Evidence of the frame.
    current
        (Y, X) uint16, the labels so far.
    locked_ids
        What is locked on this frame.
    """
    labels = labels_of(objects, (current.shape[0], current.shape[1]))
    if locked_ids:
        ids = np.array(sorted(locked_ids), np.uint16)
        labels[np.isin(labels, ids)] = _BACKGROUND
        fixed = np.isin(current, ids)
        labels[fixed] = current[fixed]
    return labels


def user_evidence(labels: NDArray[np.uint16]) -> dict[int, ObjectEvidence]:
    """Return painted (Y, X) masks as evidence that is certain, by object id."""
    objects: dict[int, ObjectEvidence] = {}
    for object_id, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is not None:
            rows, columns = window
            box = Box(rows.start, columns.start, rows.stop, columns.stop)
            probability = (labels[window] == object_id).astype(np.float16)
            objects[object_id] = ObjectEvidence(object_id, box, probability, 1.0, Source.USER)
    return objects


def without_pixels(
    objects: Mapping[int, ObjectEvidence], painted: NDArray[np.bool_]
) -> dict[int, ObjectEvidence]:
    """Return `objects` with probability 0 where the user has painted something else.

    Parameters
    ----------
    objects
        Evidence of one frame.
    painted
        (Y, X) bool.

    Returns
    -------
    dict
        By object id; an object of which nothing is left isn't in it.
    """
    rest: dict[int, ObjectEvidence] = {}
    for object_id, item in objects.items():
        covered = painted[item.box.slices] & (item.probability > 0)
        if covered.any():
            probability = np.where(covered, np.float16(0), item.probability)
            if not probability.any():
                continue
            item = replace(item, probability=probability)
        rest[object_id] = item
    return rest


def unite(one: ObjectEvidence, other: ObjectEvidence) -> ObjectEvidence:
    """Return the evidence of two objects that are one, under the id of both.

    A pixel belongs to it as probably as it belongs to either. It is as certain as the
    less certain of them, unless the user has said so. What was detected stays so.
    """
    box = Box(
        min(one.box.top, other.box.top),
        min(one.box.left, other.box.left),
        max(one.box.bottom, other.box.bottom),
        max(one.box.right, other.box.right),
    )
    total = cut_window(one, box).astype(np.float32) + cut_window(other, box)
    sources = {one.source, other.source}
    source = next(each for each in (Source.USER, Source.DETECTED, one.source) if each in sources)
    return ObjectEvidence(
        one.object_id,
        box,
        np.minimum(total, 1).astype(np.float16),
        1.0 if source is Source.USER else min(one.confidence, other.confidence),
        source,
    )


def cut_window(item: ObjectEvidence | None, window: Box) -> NDArray[np.float16]:
    """Return the probability of an object inside `window`; 0 where nothing is known."""
    cut = np.zeros(window.shape, np.float16)
    if item is not None:
        top, left = max(item.box.top, window.top), max(item.box.left, window.left)
        bottom = min(item.box.bottom, window.bottom)
        right = min(item.box.right, window.right)
        if top < bottom and left < right:
            inside = Box(
                top - window.top, left - window.left, bottom - window.top, right - window.left
            )
            known = Box(
                top - item.box.top,
                left - item.box.left,
                bottom - item.box.top,
                right - item.box.left,
            )
            cut[inside.slices] = item.probability[known.slices]
    return cut

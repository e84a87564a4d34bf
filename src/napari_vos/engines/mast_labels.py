"""Between evidence and what MAST reads: labels at the features of a frame.

Both ways the work grows with the area of the objects' windows, and hardly with
their number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_vos.engines.mivos_windows import FAINTEST
from napari_vos.store.evidence import Box, ObjectEvidence, Source, expected_jaccard, window_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

NOTHING, BACKGROUND = 0, 1
"""Labels of what gets no score, and of what is no object; objects come after."""


def labels_at_features(
    items: Iterable[ObjectEvidence],
    object_ids: Sequence[int],
    shape: tuple[int, int],
    *,
    spacing: int,
    count: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return at each feature the likeliest labels of the pixel it belongs to.

    Parameters
    ----------
    items
        All evidence of a frame.
    object_ids
        The objects that are read, in the order of their labels: the first has
        the one after `BACKGROUND`. All others are `NOTHING`.
    shape
        (Y, X) of the frame.
    spacing
        Pixels from one feature to the next.
    count
        Labels of each feature, L.

    Returns
    -------
    labels : ndarray
        (L, h, w) int64, the likeliest first. Which object that is, or background,
        is told as in the labels of a session.
    probability : ndarray
        (L, h, w) float32, of each of them.
    """
    label_of = {object_id: label for label, object_id in enumerate(object_ids, BACKGROUND + 1)}
    size = (-(-shape[0] // spacing), -(-shape[1] // spacing))
    labels = np.full((count, *size), NOTHING, np.int64)
    best = np.zeros((count, *size), np.float32)
    total = np.zeros(size, np.float32)
    in_order = sorted(items, key=lambda item: (item.source is not Source.USER, item.object_id))
    for item in in_order:
        first = tuple(-start % spacing for start in item.box[:2])
        probability = item.probability[first[0] :: spacing, first[1] :: spacing].astype(np.float32)
        top, left = (
            (start + skip) // spacing for start, skip in zip(item.box[:2], first, strict=True)
        )
        window = slice(top, top + probability.shape[0]), slice(left, left + probability.shape[1])
        total[window] += probability
        label = np.full(probability.shape, label_of.get(item.object_id, NOTHING))
        _insert(label, probability, labels[:, *window], best[:, *window], or_equal=False)
    label = np.full(size, BACKGROUND)
    _insert(label, (1 - total).clip(0, 1), labels, best, or_equal=True)
    return labels, best


def _insert(
    label: NDArray[np.int64],
    probability: NDArray[np.float32],
    labels: NDArray[np.int64],
    best: NDArray[np.float32],
    *,
    or_equal: bool,
) -> None:
    """Put a label everywhere among the likeliest ones, in place."""
    for rank_labels, rank_best in zip(labels, best, strict=True):
        better = probability >= rank_best if or_equal else probability > rank_best
        for new, old in ((label, rank_labels), (probability, rank_best)):
            new[better], old[better] = old[better], new[better]


class Scores(NamedTuple):
    """Scores of objects at features, where they have any.

    Attributes
    ----------
    object_index, y, x
        (M,) int64: which object, and where.
    score
        (M,) float32.
    total
        (h, w) float32, of all objects and background.
    """

    object_index: NDArray[np.int64]
    y: NDArray[np.int64]
    x: NDArray[np.int64]
    score: NDArray[np.float32]
    total: NDArray[np.float32]

    @classmethod
    def gather(cls, bands: Iterable[tuple[range, Tensor]]) -> Scores:
        """Take the scores of labels from 1, (N, rows, w), band by band."""
        parts, totals = [], []
        for rows, scores in bands:
            objects = scores[BACKGROUND:]
            there = (objects > SMALLEST_SCORE).nonzero(as_tuple=True)
            index, y, x = (places.cpu().numpy() for places in there)
            parts.append((index, y + rows.start, x, objects[there].cpu().numpy()))
            totals.append(scores.sum(dim=0).cpu().numpy())
        index, y, x, score = (np.concatenate(part) for part in zip(*parts, strict=True))
        return cls(index, y, x, score, np.concatenate(totals))


SMALLEST_SCORE = 1e-3
"""Scores below this are left out."""


class Enlargement:
    """Scores at features as probabilities at pixels.

    Scores are enlarged bilinearly, and what competes at a pixel sums to 1
    there: the objects and the background, for what frozen objects leave of it.

    Parameters
    ----------
    shape
        (Y, X) of the frame.
    spacing
        Pixels from one feature to the next.
    aligned
        Whether scores are those of the pixels that the features belong to, so
        that labels which are read again stay where they are. The authors'
        code takes them for those of the middle of the pixels around.
    """

    def __init__(self, shape: tuple[int, int], *, spacing: int, aligned: bool) -> None:
        self._shape = shape
        self._spacing = spacing
        self._rows, self._columns = (_weights(length, spacing, aligned) for length in shape)

    def windows(
        self, object_ids: Sequence[int], scores: Scores, frozen: NDArray[np.float32]
    ) -> dict[int, ObjectEvidence]:
        """Return the evidence of objects; one that is nowhere isn't in it.

        Parameters
        ----------
        object_ids
            By object index.
        scores
            Of the frame.
        frozen
            (Y, X), the probability of all frozen objects together.
        """
        total = self._rows @ scores.total @ self._columns.T
        left = (1 - frozen).clip(0, 1)
        share: NDArray[np.float32] = np.divide(left, np.maximum(total, SMALLEST_SCORE))
        order = np.argsort(scores.object_index, kind="stable")
        begins = np.searchsorted(scores.object_index[order], np.arange(len(object_ids) + 1))
        found = {}
        for index, object_id in enumerate(object_ids):
            own = order[begins[index] : begins[index + 1]]
            if own.size:
                item = self._window(object_id, scores, own, share)
                if item is not None:
                    found[object_id] = item
        return found

    def _window(
        self, object_id: int, scores: Scores, own: NDArray[np.int64], share: NDArray[np.float32]
    ) -> ObjectEvidence | None:
        y, x = scores.y[own], scores.x[own]
        features = Box(int(y.min()), int(x.min()), int(y.max()) + 1, int(x.max()) + 1)
        small = np.zeros(features.shape, np.float32)
        small[y - features.top, x - features.left] = scores.score[own]
        # All pixels that the features of the window count for.
        spacing = self._spacing
        around = Box(
            max(0, spacing * (features.top - 2)),
            max(0, spacing * (features.left - 2)),
            min(self._shape[0], spacing * (features.bottom + 1)),
            min(self._shape[1], spacing * (features.right + 1)),
        )
        pixel_rows, pixel_columns = around.slices
        feature_rows, feature_columns = features.slices
        plane = (
            self._rows[pixel_rows, feature_rows]
            @ small
            @ self._columns[pixel_columns, feature_columns].T
        ) * share[around.slices]
        inner = window_of(plane >= FAINTEST)
        if inner is None:
            return None
        box = Box(
            around.top + inner.top,
            around.left + inner.left,
            around.top + inner.bottom,
            around.left + inner.right,
        )
        window = np.asarray(plane[inner.slices], np.float32)
        return ObjectEvidence(
            object_id, box, window.astype(np.float16), expected_jaccard(window), Source.PROPAGATED
        )


def _weights(length: int, spacing: int, aligned: bool) -> NDArray[np.float32]:
    """Return what each feature counts for each pixel of an axis: (length, features)."""
    n_features = -(-length // spacing)
    pixels = np.arange(length)
    place = pixels / spacing if aligned else (pixels + 0.5) * n_features / length - 0.5
    place = place.clip(0, n_features - 1)
    distance = np.abs(place[:, None] - np.arange(n_features))
    return (1 - distance).clip(min=0).astype(np.float32)

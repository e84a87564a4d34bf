"""Instances against the truth: average precision, recall, and SEG."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_vos.errors import FramesError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.metrics.evaluation import Labels

THRESHOLDS = tuple(np.arange(50, 100, 5) / 100)
"""Overlaps (IoU) of COCO's AP, 0.5 to 0.95."""


class Overlaps(NamedTuple):
    """Pairs of an instance of one label image and one of another that share pixels; P of them.

    Attributes
    ----------
    first, second
        (P,) int64, the labels.
    iou
        (P,) intersection over union, above 0.
    share
        (P,) how much of the second one they share, above 0.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    iou: NDArray[np.float64]
    share: NDArray[np.float64]


def find_overlaps(first: NDArray[Any], second: NDArray[Any]) -> Overlaps:
    """Compare all instances of two label images (Y, X) with each other."""
    ours, theirs = first.ravel().astype(np.int64), second.ravel().astype(np.int64)
    areas, their_areas = np.bincount(ours), np.bincount(theirs)
    both = (ours > 0) & (theirs > 0)
    stride = len(their_areas)
    pairs, shared = np.unique(ours[both] * stride + theirs[both], return_counts=True)
    a, b = np.divmod(pairs, stride)
    return Overlaps(a, b, shared / (areas[a] + their_areas[b] - shared), shared / their_areas[b])


@dataclass(frozen=True)
class InstanceScores:
    """How well instances agree with the truth, frame by frame, whatever their ids.

    Attributes
    ----------
    hits
        For each of `THRESHOLDS` how many instances of completely annotated
        frames overlap (IoU) more than that with one of the truth.
    n_found, n_true
        Instances of the result and of the truth on those frames.
    n_complete
        Those frames.
    n_recalled
        How many of the truth's instances are overlapped (IoU) more than 0.5, on
        all frames with any.
    seg_sum
        The sum over the truth's instances, on all frames with any, of the IoU
        with the one that covers more than half of it; 0 where none does.
    n_references
        Instances of the truth on all frames with any.
    """

    hits: tuple[int, ...]
    n_found: int
    n_true: int
    n_complete: int
    n_recalled: int
    seg_sum: float
    n_references: int

    @property
    def precisions(self) -> tuple[float, ...]:
        """AP at each of `THRESHOLDS`: hits / (hits + what was missed + what isn't there).

        That is how cell segmentation is scored, for labels have no confidence to
        sort by; COCO's area under the curve is another number.
        """
        return tuple(
            hits / total if (total := self.n_found + self.n_true - hits) else 1.0
            for hits in self.hits
        )

    @property
    def ap50(self) -> float:
        """AP at an overlap of 0.5."""
        return self.precisions[0]

    @property
    def ap(self) -> float:
        """Mean AP over overlaps from 0.5 to 0.95."""
        return float(np.mean(self.precisions))

    @property
    def recall(self) -> float:
        """Share of the truth's instances that were found, at an overlap of 0.5."""
        return self.n_recalled / self.n_references

    @property
    def seg(self) -> float:
        """SEG of the Cell Tracking Challenge."""
        return self.seg_sum / self.n_references

    def summary(self) -> dict[str, Any]:
        """Return the figures, ready for JSON; AP is None if no frame is completely annotated."""
        known = self.n_complete > 0
        return {
            "AP50": self.ap50 if known else None,
            "AP": self.ap if known else None,
            "recall": self.recall,
            "SEG": self.seg,
            "n_instances": self.n_references,
            "n_complete_frames": self.n_complete,
        }


def evaluate_instances(
    result: Labels,
    truth: Labels,
    *,
    frames: range | None = None,
    complete_frames: Collection[int] | None = None,
) -> InstanceScores:
    """Score the instances of each frame by itself; ids needn't agree.

    Parameters
    ----------
    result, truth
        Labels (T, Y, X), any integer dtype. One frame of each is in memory at a
        time.
    frames
        Frames to look at; None for all. Those on which the truth is empty count
        only if they are complete.
    complete_frames
        Frames on which the truth has a mask of everything in view: AP is that of
        these frames, for elsewhere an instance without a mask may be right. None:
        those on which it has any mask.

    References
    ----------
    Maška et al., A benchmark for comparison of cell tracking algorithms,
    Bioinformatics 2014 (SEG). Caicedo et al., Nucleus segmentation across imaging
    experiments, Nature Methods 2019 (AP of labels).

    Raises
    ------
    FramesError
        If the shapes differ, `frames` lies outside the stack, or the truth is
        empty on all of them.
    """
    if tuple(result.shape) != tuple(truth.shape):
        raise FramesError(
            f"The result has shape {tuple(result.shape)} and the truth {tuple(truth.shape)}; "
            "expected the same (T, Y, X). Compare labels of the same frames."
        )
    n_frames = truth.shape[0]
    chosen = range(n_frames) if frames is None else frames
    if not chosen or min(chosen) < 0 or max(chosen) >= n_frames:
        raise FramesError(
            f"The frames {chosen.start} to {chosen.stop - 1} are no part of the truth's frames "
            f"0 to {n_frames - 1}. Choose frames of the stack."
        )
    hits = np.zeros(len(THRESHOLDS), int)
    n_found = n_true = n_complete = n_recalled = n_references = 0
    seg_sum = 0.0
    for t, theirs in _frames(truth, chosen, complete_frames):
        ours = np.asarray(result[t])
        overlaps = find_overlaps(ours, theirs)
        found, true = (int(np.count_nonzero(np.unique(labels))) for labels in (ours, theirs))
        if complete_frames is None or t in complete_frames:
            hits += [np.count_nonzero(overlaps.iou > threshold) for threshold in THRESHOLDS]
            n_found, n_true, n_complete = n_found + found, n_true + true, n_complete + 1
        n_references += true
        n_recalled += int(np.count_nonzero(overlaps.iou > THRESHOLDS[0]))
        seg_sum += float(overlaps.iou[overlaps.share > 0.5].sum())
    if not n_references:
        raise FramesError(
            "There is nothing to score: the truth is empty on the chosen frames. Choose others."
        )
    return InstanceScores(
        tuple(hits.tolist()), n_found, n_true, n_complete, n_recalled, seg_sum, n_references
    )


def _frames(
    truth: Labels, chosen: range, complete_frames: Collection[int] | None
) -> Iterator[tuple[int, NDArray[Any]]]:
    for t in chosen:
        labels = np.asarray(truth[t])
        if labels.any() or (complete_frames is not None and t in complete_frames):
            yield t, labels

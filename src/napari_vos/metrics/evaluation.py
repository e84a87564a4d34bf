"""Scoring a stack of labels against the truth, frame by frame."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import ndimage

from napari_vos.errors import FramesError
from napari_vos.metrics.boundary import boundary_map, match_boundaries, matching_radius
from napari_vos.metrics.scores import PairScore, Scores

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Crop = tuple[slice, slice]


class Labels(Protocol):
    """A stack (T, Y, X) of labels that gives one frame at a time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, Y, X)."""

    def __getitem__(self, t: int, /) -> Any:
        """Return frame t, (Y, X) of any integer dtype."""


def evaluate(
    result: Labels,
    truth: Labels,
    *,
    prompts: Mapping[int, ArrayLike] | None = None,
    all_objects: bool = False,
    frames: range | None = None,
    complete_frames: Collection[int] | None = None,
) -> Scores:
    """Score propagated labels.

    A pair of object and frame is scored if the truth holds the object there (at
    least one pixel) and nothing was prompted on the frame. So a frame without
    annotation counts for nothing, and one whose annotation is partial counts
    for the objects that have a mask.

    A *ghost* is an object that the result holds although the truth has ended
    it: it has no pixel on this frame nor on any later one, within `frames` or
    not. Ghosts are looked for on completely annotated frames alone, prompted
    ones left out, and their share is that of the pairs of scored object and
    such frame that the *result* holds. (Of two readings this is the stricter
    one: over all objects times frames, living or not, it would be smaller.)

    Parameters
    ----------
    result, truth
        Labels (T, Y, X), any integer dtype; anything that gives frame t as
        `stack[t]`. One frame of each is in memory at a time.
    prompts
        What the user gave: labels (Y, X) by frame index. Its objects are scored,
        its frames aren't. None: all objects of the truth on all frames.
    all_objects
        Also score the objects of the truth that were not prompted.
    frames
        Frames to look at; None for all.
    complete_frames
        Frames on which the truth has a mask of everything in view. None: those
        on which it has any mask.

    Raises
    ------
    FramesError
        If the shapes differ, `frames` lies outside the stack, or there is
        nothing to score.
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
    prompted = {} if prompts is None else {t: np.asarray(p) for t, p in prompts.items()}
    last_seen = _last_frames(truth)
    wanted = {int(i) for labels in prompted.values() for i in np.unique(labels) if i}
    if all_objects or prompts is None:
        wanted |= last_seen.keys()

    pairs: list[PairScore] = []
    n_held = n_ended = n_ghosts = 0
    for t in chosen:
        if t in prompted:
            continue
        ours, theirs = _read(result, t), _read(truth, t)
        pairs.extend(_score_frame(t, ours, theirs, wanted))
        if theirs.any() if complete_frames is None else t in complete_frames:
            held = wanted.intersection(np.unique(ours).tolist())
            ended = {i for i in wanted if last_seen.get(i, -1) < t}
            n_held += len(held)
            n_ended += len(ended)
            n_ghosts += len(held & ended)
    if not pairs:
        raise FramesError(
            "There is nothing to score: on the chosen frames, without the prompted ones, the "
            "truth holds none of the objects. Check that prompts and truth have the same ids."
        )
    return Scores(tuple(pairs), n_held, n_ended, n_ghosts)


def _read(labels: Labels, t: int) -> NDArray[np.int32]:
    return np.asarray(labels[t]).astype(np.int32, copy=False)


def _last_frames(truth: Labels) -> dict[int, int]:
    """Return the last frame on which each object has a pixel."""
    return {int(i): t for t in range(truth.shape[0]) for i in np.unique(_read(truth, t)) if i}


def _score_frame(
    t: int, result: NDArray[np.int32], truth: NDArray[np.int32], wanted: set[int]
) -> Iterator[PairScore]:
    """Score the wanted objects that the truth holds, each within its own box."""
    shape = (truth.shape[0], truth.shape[1])
    radius = matching_radius(shape)
    ours, theirs = _boxes(result), _boxes(truth)
    area = np.bincount(result.ravel())
    true_area = np.bincount(truth.ravel())
    common = np.bincount(truth[truth == result], minlength=len(true_area))
    for object_id in sorted(wanted & theirs.keys()):
        found = int(area[object_id]) if object_id in ours else 0
        shared = int(common[object_id])
        j = shared / (found + int(true_area[object_id]) - shared)
        crop = _around([theirs[object_id], *([ours[object_id]] if found else [])])
        f = match_boundaries(
            boundary_map(result[crop] == object_id),
            boundary_map(truth[crop] == object_id),
            radius,
        )
        yield PairScore(t, object_id, j, f)


def _boxes(labels: NDArray[np.int32]) -> dict[int, Crop]:
    found = ndimage.find_objects(labels)
    return {i: crop for i, crop in enumerate(found, start=1) if crop is not None}


def _around(boxes: list[Crop]) -> Crop:
    """Return the box around all, one pixel wider, so that edges in the frame are seen as such."""
    rows = slice(max(0, min(b[0].start for b in boxes) - 1), max(b[0].stop for b in boxes) + 1)
    columns = slice(max(0, min(b[1].start for b in boxes) - 1), max(b[1].stop for b in boxes) + 1)
    return rows, columns

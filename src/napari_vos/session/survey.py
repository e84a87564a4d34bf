"""What a detector sees of a session's frames: objects nobody follows, and those it confirms."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_vos.errors import PromptError
from napari_vos.metrics.instances import find_overlaps
from napari_vos.session.lineage import find_ended, find_stays, match_parents, place_of
from napari_vos.session.marks import free_ids
from napari_vos.store.evidence import Box, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.engines.base import Detector
    from napari_vos.session.ledger import Ledger

COVERED = 0.3
"""An instance is explained if objects cover more of it, as a share of its pixels."""

CONFIRMED = 0.5
"""An object is confirmed by an instance that overlaps it (IoU) more."""


@dataclass(frozen=True)
class Search:
    """Where to look for newcomers, and what counts as an instance.

    Attributes
    ----------
    every
        Every how many frames.
    score, overlap
        See `RawDetections.instances`.

    Raises
    ------
    PromptError
        If a value is outside its limits.
    """

    every: int = 5
    score: float = 0.4
    overlap: float = 0.5

    def __post_init__(self) -> None:
        """Check the limits."""
        if self.every < 1:
            raise PromptError(
                f"Newcomers can't be looked for on every {self.every} frames; expected at least 1."
            )
        for name in ("score", "overlap"):
            if not 0 <= getattr(self, name) <= 1:
                raise PromptError(f"{name} is {getattr(self, name)}; expected from 0 to 1.")


@dataclass(frozen=True, eq=False)
class Newcomer:
    """An instance that no object explains.

    Attributes
    ----------
    object_id
        The id it will have.
    t
        Frame index.
    box
        Where the mask lies on the frame.
    mask
        (height, width) of the box, bool; without pixels of other objects.
    score
        In [0, 1], the detector's.
    parent
        An object that has ended beside it, as far as is known before it is followed.
    """

    object_id: int
    t: int
    box: Box
    mask: NDArray[np.bool_]
    score: float
    parent: int | None = None


@dataclass(frozen=True, eq=False)
class Survey:
    """What was seen on some frames.

    Attributes
    ----------
    frames
        Those that were looked at.
    newcomers
        Instances that no object explains, on the first of these frames that shows them.
    confirmed
        How certain detection is of objects that were propagated: the score of the instance
        times the overlap (IoU) with it, by (t, object id).
    said
        What has looked, ready for the journal.
    """

    frames: tuple[int, ...]
    newcomers: tuple[Newcomer, ...]
    confirmed: Mapping[tuple[int, int], float]
    said: Mapping[str, Any]

    def only(self, object_ids: Collection[int]) -> Survey:
        """Return a survey with these newcomers alone."""
        chosen = tuple(each for each in self.newcomers if each.object_id in object_ids)
        return replace(self, newcomers=chosen)

    def __add__(self, other: Survey) -> Survey:
        return Survey(
            self.frames + other.frames,
            self.newcomers + other.newcomers,
            {**self.confirmed, **other.confirmed},
            other.said,
        )


def survey_frames(
    ledger: Ledger,
    detector: Detector,
    frames: Iterable[int],
    search: Search,
    said: Mapping[str, Any],
) -> Generator[Survey]:
    """Look at frames in order, and yield what each shows.

    An instance where there was a newcomer on the frame before counts as the same one.

    Parameters
    ----------
    ledger
        The session.
    detector
        What looks.
    frames
        Frame indices, ascending.
    search
        What counts as an instance.
    said
        See `Survey.said`.
    """
    names = free_ids(ledger.history.state.marks)
    ended = find_ended(ledger, find_stays(ledger))
    before = np.zeros(ledger.shape, bool)
    for t in frames:
        found = detector.detect(t).instances(score=search.score, overlap=search.overlap)
        labels = ledger.labels(t)
        strange = _uncovered(found.labels, labels > 0)
        fresh = strange & _uncovered(found.labels, before)
        before = np.isin(found.labels, list(strange))
        boxes = ndimage.find_objects(found.labels)
        newcomers = []
        for number in sorted(fresh):
            rows, columns = boxes[number - 1]
            box = Box(rows.start, columns.start, rows.stop, columns.stop)
            mask = (found.labels[box.slices] == number) & (labels[box.slices] == 0)
            score = float(found.scores[number - 1])
            newcomers.append(Newcomer(next(names), t, box, mask, score))
        yield Survey(
            (t,),
            tuple(_with_parents(newcomers, ended, search.every)),
            _confirmed(ledger, t, labels, found.labels, found.scores),
            said,
        )


def is_strange(newcomer: Newcomer, labels: NDArray[np.uint16]) -> bool:
    """Return whether no object of a frame (Y, X) explains a newcomer."""
    free = int(np.count_nonzero(newcomer.mask & (labels[newcomer.box.slices] == 0)))
    return free > 0 and free >= (1 - COVERED) * int(np.count_nonzero(newcomer.mask))


def _uncovered(instances: NDArray[np.uint16], covered: NDArray[np.bool_]) -> set[int]:
    areas = np.bincount(instances.ravel())
    shared = np.bincount(instances[covered], minlength=len(areas))
    numbers = np.flatnonzero((areas > 0) & (shared <= COVERED * areas)).tolist()
    return set(numbers) - {0}


def _with_parents(
    newcomers: list[Newcomer], ended: Mapping[int, Any], every: int
) -> list[Newcomer]:
    places = {
        each.object_id: place
        for each in newcomers
        if (place := place_of(each.mask, each.t, each.box.top, each.box.left)) is not None
    }
    parents = {each.child: each.parent for each in match_parents(places, ended, gap=every)}
    return [replace(each, parent=parents.get(each.object_id)) for each in newcomers]


def _confirmed(
    ledger: Ledger,
    t: int,
    labels: NDArray[np.uint16],
    instances: NDArray[np.uint16],
    scores: NDArray[np.float32],
) -> dict[tuple[int, int], float]:
    entries = ledger.index(t).entries
    overlaps = find_overlaps(labels, instances)
    pairs = zip(overlaps.first.tolist(), overlaps.second.tolist(), overlaps.iou, strict=True)
    return {
        (t, object_id): float(iou * scores[number - 1])
        for object_id, number, iou in pairs
        if iou > CONFIRMED
        and object_id in entries
        and entries[object_id].source is Source.PROPAGATED
    }

"""Running a round: the engine's evidence, frame by frame, into the ledger."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, cast

import numpy as np

from napari_vos.session.confidence import confidence_of
from napari_vos.session.ends import spared_objects
from napari_vos.session.engine import plan_of
from napari_vos.session.merge import labels_of, labels_with_locks
from napari_vos.session.reader import LedgerReader
from napari_vos.session.spans import n_frames_of, nearest_first, sized
from napari_vos.store.evidence import FrameEvidence, ObjectEvidence
from napari_vos.store.record import Event, FrameRecord

if TYPE_CHECKING:
    from napari_vos.engines.base import Propagator
    from napari_vos.frames import FrameStack
    from napari_vos.session.engine import EngineChoice
    from napari_vos.session.history import Round
    from napari_vos.session.ledger import Ledger
    from napari_vos.session.spans import Leg, Reach


class Finish(StrEnum):
    """Why a round has stopped."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True)
class Progress:
    """A finished frame: numbers only.

    Attributes
    ----------
    t
        Frame index.
    object_ids
        The objects that were propagated to it and are there, ascending.
    confidence
        Expected Jaccard index of each, in [0, 1], by object id.
    n_done
        Frames finished in this round, a frame counted once per leg.
    n_total
        Frames the round takes in all.
    """

    t: int
    object_ids: tuple[int, ...]
    confidence: Mapping[int, float]
    n_done: int
    n_total: int


@dataclass(frozen=True)
class Step:
    """A `Progress` with the frames whose labels it has changed."""

    progress: Progress
    changed: frozenset[int]


def begin_round(
    ledger: Ledger,
    legs: Sequence[Leg],
    reach: Reach,
    choice: EngineChoice,
    propagator: Propagator,
    images: FrameStack,
) -> Round:
    """Write the line of a new round, with all that decides its results.

    Parameters
    ----------
    ledger
        The session.
    legs
        What it runs.
    reach
        What was asked for.
    choice
        The engine that was asked for.
    propagator
        The engine as it is.
    images
        The frames it sees.
    """
    ledger.note(
        "round",
        **reach.to_json(),
        legs=[leg.to_json() for leg in legs],
        choice=choice.to_json(),
        engine=plan_of(propagator),
        images={
            "fingerprint": images.fingerprint,
            "axes": images.axes,
            "channels": list(images.channels),
            "normalization": images.normalization,
        },
    )
    return ledger.history.latest_round


def run_round(
    ledger: Ledger,
    current: Round,
    propagator: Propagator,
    order: Iterable[int] | None = None,
) -> Generator[Step]:
    """Run what is left of a round and yield after each frame is written.

    It can be closed at any yield: what was yielded is on disk. One leg is open at a
    time; one whose turn comes again goes on from its state, as if it had been interrupted.

    Parameters
    ----------
    ledger
        The session.
    current
        The round.
    propagator
        Its engine.
    order
        Index of the leg of each frame to run; None for all that is left, the nearest
        frames first.
    """
    if order is None:
        rest = [current.rest(index) for index in range(len(current.legs))]
        order = nearest_first(current.legs, rest)
    n_total = n_frames_of(current.legs)
    n_done = current.n_done
    for index, turn in groupby(order):
        with closing(_run_leg(ledger, current, index, propagator)) as frames:
            for _, (t, kept, changed) in zip(turn, frames, strict=False):
                n_done += 1
                confidence = {i: kept[i].confidence for i in sorted(kept)}
                progress = Progress(t, tuple(confidence), confidence, n_done, n_total)
                yield Step(progress, changed)


def _run_leg(
    ledger: Ledger, current: Round, index: int, propagator: Propagator
) -> Generator[tuple[int, Mapping[int, ObjectEvidence], frozenset[int]]]:
    leg, frames = current.legs[index], current.rest(index)
    spared = set(current.spared.get(index, ()))
    moving = set() if leg.ended else set(leg.span.object_ids) - current.ended.get(index, set())
    moving -= spared
    span = replace(
        sized(leg.span, ledger.index(leg.span.start).entries),
        object_ids=tuple(sorted(moving)),
        done_until=current.done.get(index, leg.span.done_until),
    )
    reader = LedgerReader(ledger, current, current.name(index))
    # The protocol promises an iterator that can be closed.
    evidences = propagator.propagate(span, reader) if moving else _nothing()
    stream = cast("Generator[FrameEvidence]", evidences)
    with closing(stream):
        for t in frames:
            evidence = _next(stream, t) if moving else FrameEvidence(t, {})
            ends = {end.object_id: end.reason for end in evidence.ends if end.object_id in moving}
            moving -= ends.keys()
            spared |= spared_objects(ledger, reader, leg, t, ends)
            ends = {i: reason for i, reason in ends.items() if i not in spared}
            events = tuple(Event(t, i, ends[i], leg.span.direction) for i in sorted(ends))
            still = frozenset(ledger.index(t).entries) - _touched(current, t)
            judged = _judged(ledger, leg, evidence)
            rerun = set(leg.span.object_ids) - spared
            record, kept = _merge(ledger, rerun, judged, moving, events, still)
            changed = ledger.write_frame(
                index, t, record, state=evidence.state, ends=ends, spared=spared
            )
            yield t, kept, changed


def _nothing() -> Generator[FrameEvidence]:
    yield from ()


def _next(stream: Iterator[FrameEvidence], t: int) -> FrameEvidence:
    evidence = next(stream, None)
    if evidence is None or evidence.t != t:
        came = "nothing" if evidence is None else f"frame {evidence.t}"
        raise RuntimeError(f"The engine yielded {came} where frame {t} was due.")
    return evidence


def _judged(ledger: Ledger, leg: Leg, evidence: FrameEvidence) -> FrameEvidence:
    """Return what the engine yielded, checked, and as certain as the session holds it to be.

    What was fused comes from both sides, and what is accepted is in no doubt.
    """
    last = evidence.t - leg.span.direction
    before = {} if not evidence.objects else ledger.objects(last)
    known = ledger.history.state.locked_ids(last)
    if leg.span.fuse_with is not None:
        known |= ledger.index(evidence.t).entries.keys()
    objects = {}
    for i, item in evidence.objects.items():
        checked = _checked(item, evidence.t, ledger.shape)
        confidence = confidence_of(checked, None if i in known else before.get(i))
        objects[i] = replace(checked, confidence=confidence)
    return replace(evidence, objects=objects)


def _touched(current: Round, t: int) -> frozenset[int]:
    """Return the objects that a round moves on frame `t`."""
    return frozenset(i for leg in current.legs if t in leg.frames for i in leg.span.object_ids)


def _merge(
    ledger: Ledger,
    rerun: set[int],
    evidence: FrameEvidence,
    moving: set[int],
    new_events: tuple[Event, ...],
    still: frozenset[int],
) -> tuple[FrameRecord | None, Mapping[int, ObjectEvidence]]:
    """Return the new record of a frame, None if nothing changes, and what the engine added.

    All that isn't run anew, or is locked, stays as it is; the objects of
    `still`, which the round doesn't touch, keep every pixel. An object that has
    ended, now or before, loses what an earlier round believed here.
    """
    t = evidence.t
    old, old_events = ledger.read(t)
    locked = ledger.history.state.locked_ids(t)
    moved = rerun - locked
    objects = {i: item for i, item in old.items() if i not in moved}
    kept = {i: item for i, item in evidence.objects.items() if i in moved & moving}
    objects.update(kept)
    events = tuple(event for event in old_events if event.object_id not in rerun)
    events += new_events
    if not kept and objects.keys() == old.keys() and events == old_events:
        return None, kept
    if locked or still:
        labels = labels_with_locks(objects.values(), ledger.labels(t), locked | still)
    else:
        labels = labels_of(objects.values(), ledger.shape)
    return FrameRecord(labels, objects, events), kept


def _checked(item: ObjectEvidence, t: int, shape: tuple[int, int]) -> ObjectEvidence:
    box = item.box
    inside = 0 <= box.top <= box.bottom <= shape[0] and 0 <= box.left <= box.right <= shape[1]
    if not inside or item.probability.shape != box.shape:
        raise ValueError(
            f"The engine yielded for object {item.object_id} on frame {t} a window of shape "
            f"{item.probability.shape} at {tuple(box)}; the frame is {shape}."
        )
    return replace(
        item,
        probability=np.asarray(item.probability, np.float16),
        confidence=float(item.confidence),
    )

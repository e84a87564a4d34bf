"""The user's words: what they change, done in one step that can be undone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from napari_vos.errors import PromptError
from napari_vos.session.marks import (
    ANY_OBJECT,
    Mark,
    MarkKind,
    is_supported,
    marks_of,
    object_ids,
)
from napari_vos.session.merge import labels_with_locks, user_evidence, without_pixels
from napari_vos.store.evidence import EndReason
from napari_vos.store.record import Event, FrameRecord

if TYPE_CHECKING:
    from napari_vos.prompts import MaskPrompt
    from napari_vos.session.ledger import Ledger

_NEWEST = 2**62
"""Order of a mark whose line isn't written yet."""


_BACKGROUND = 0


def add_mask(
    ledger: Ledger, prompt: MaskPrompt, drawn: Mapping[str, Any] | None = None
) -> frozenset[int]:
    """Take in a painted frame; return the frames that change.

    The user's pixels win over all else on the frame, locked or not. An
    object of which they leave nothing is no longer marked there, and an object
    without any mark is gone everywhere.

    Parameters
    ----------
    ledger
        The session.
    prompt
        The frame.
    drawn
        What was drawn instead, and what has made the masks of it, for the
        journal; None if they were painted.
    """
    t, painted = prompt.t, prompt.labels > 0
    marks = dict(ledger.history.state.marks)
    known = object_ids(marks)
    said = user_evidence(prompt.labels)
    absent = [i for i in prompt.object_ids if i not in said]
    if prompt.complete:
        absent += [i for i in known if i not in said and i not in absent]
    old, old_events = ledger.read(t)
    others = {i: item for i, item in old.items() if i not in said and i not in absent}
    objects = without_pixels(others, painted)
    unmarked = [i for i in others if i not in objects and (t, i) in marks]
    objects.update(said)

    sides = {i: _side(marks, i, t) for i in absent}
    ends = tuple(Event(t, i, EndReason.USER, side) for i, side in sides.items() if side)
    spoken = {*said, *absent}
    events = tuple(e for e in old_events if e.object_id not in spoken) + ends
    locked = ledger.history.state.locked_ids(t) - spoken
    labels = labels_with_locks(objects.values(), ledger.labels(t), locked)
    labels[painted] = prompt.labels[painted]
    records = {t: FrameRecord(labels, objects, events)}

    for i in said:
        marks[(t, i)] = Mark(MarkKind.PRESENT, _NEWEST)
    for i in absent:
        marks[(t, i)] = Mark(MarkKind.ABSENT, _NEWEST)
    for i in unmarked:
        del marks[(t, i)]
    cleared = _clear(ledger, marks, {*absent, *unmarked}, records)
    walls = [ANY_OBJECT] if prompt.complete else []
    return ledger.commit(
        "add_mask" if drawn is None else "draw",
        records,
        t=t,
        **(drawn or {}),
        prompt=ledger.folder.write_prompt(prompt.labels),
        complete=prompt.complete,
        present=sorted(said),
        absent=walls + sorted(absent),
        unmarked=[[t, i] for i in unmarked],
        unlocked=_unlocked(ledger, {t: set(absent), **cleared}),
    )


def accept(
    ledger: Ledger, frames: Iterable[int], object_ids: Collection[int] | None
) -> frozenset[int]:
    """Lock objects where they are on these frames; all, and the background, if none are named."""
    locked = {}
    for t in frames:
        there = ledger.index(t).entries
        if object_ids is None:
            locked[str(t)] = [_BACKGROUND, *there]
        else:
            locked[str(t)] = [i for i in there if i in object_ids]
    return ledger.commit("accept", {}, locked=locked)


def end_object(ledger: Ledger, object_id: int, t: int) -> frozenset[int]:
    """End an object at frame `t`; return the frames that change.

    It is gone from there on until its next user frame.
    """
    marks = dict(ledger.history.state.marks)
    marks[(t, object_id)] = Mark(MarkKind.ABSENT, _NEWEST)
    own = marks_of(marks, object_id)
    following = (
        frame for frame, mark in own.items() if frame > t and mark.kind is MarkKind.PRESENT
    )
    stretch = range(t, min(following, default=ledger.n_frames))
    records = {t: _without(ledger, t, {object_id}, (Event(t, object_id, EndReason.USER),))}
    cleared = _clear(ledger, marks, {object_id}, records, stretch)
    return ledger.commit(
        "end_object",
        records,
        t=t,
        object_id=object_id,
        absent=[object_id],
        unlocked=_unlocked(ledger, {t: {object_id}, **cleared}),
    )


def delete_object(ledger: Ledger, object_id: int) -> frozenset[int]:
    """Delete an object from all frames; return the frames that change."""
    marks = ledger.history.state.marks
    frames = [t for t in range(ledger.n_frames) if _holds(ledger, t, {object_id})]
    return ledger.commit(
        "delete_object",
        {t: _without(ledger, t, {object_id}) for t in frames},
        object_id=object_id,
        unmarked=[[t, i] for t, i in sorted(marks) if i == object_id],
        unlocked=_unlocked(ledger, {t: {object_id} for t in range(ledger.n_frames)}),
    )


def undo(ledger: Ledger) -> frozenset[int]:
    """Take back the last action; return the frames that change."""
    if not ledger.history.done:
        raise PromptError("There is nothing to undo in this session.")
    return ledger.note("undo", of=ledger.history.done[-1].line["n"])


def redo(ledger: Ledger) -> frozenset[int]:
    """Do again what was undone last; return the frames that change."""
    if not ledger.history.undone:
        raise PromptError(
            "There is nothing to redo: nothing was undone, or something else was done since."
        )
    return ledger.note("redo", of=ledger.history.undone[-1].line["n"])


def _clear(
    ledger: Ledger,
    marks: Mapping[tuple[int, int], Mark],
    affected: Iterable[int],
    records: dict[int, FrameRecord],
    stretch: range = range(0),
) -> dict[int, set[int]]:
    """Add to `records` the frames that lose evidence which no mark supports any more.

    Parameters
    ----------
    ledger
        The session so far.
    marks
        As they are after the action.
    affected
        The objects whose marks change.
    records
        Records of the action; those of other frames are added.
    stretch
        Frames that lose these objects in any case.

    Returns
    -------
    dict
        The objects that each frame can't hold.
    """
    cleared: dict[int, set[int]] = {}
    for object_id in sorted(affected):
        own = marks_of(marks, object_id)
        for t in range(ledger.n_frames):
            if t in stretch or (t not in own and not is_supported(own, t)):
                cleared.setdefault(t, set()).add(object_id)
    for t, ids in cleared.items():
        if t not in records and _holds(ledger, t, ids):
            records[t] = _without(ledger, t, ids)
    return cleared


def _side(marks: Mapping[tuple[int, int], Mark], object_id: int, t: int) -> int:
    """Return where an object that is absent on frame `t` is cut off by that.

    1 if it ends there, -1 if it begins after it, 0 if other marks have said so.
    """
    own = marks_of(marks, object_id)
    before = max((frame for frame in own if frame < t), default=None)
    if before is not None and own[before].kind is MarkKind.PRESENT:
        return 1
    after = min((frame for frame in own if frame > t), default=None)
    return -1 if after is not None and own[after].kind is MarkKind.PRESENT else 0


def _holds(ledger: Ledger, t: int, ids: set[int]) -> bool:
    """Return whether frame `t` has evidence or events of any of these objects."""
    index = ledger.index(t)
    return not ids.isdisjoint({*index.entries, *(event.object_id for event in index.events)})


def _without(ledger: Ledger, t: int, ids: set[int], events: tuple[Event, ...] = ()) -> FrameRecord:
    """Return frame `t` without some objects and their events, with others instead."""
    old, old_events = ledger.read(t)
    objects = {i: item for i, item in old.items() if i not in ids}
    kept = tuple(event for event in old_events if event.object_id not in ids)
    locked = ledger.history.state.locked_ids(t) - ids
    labels = labels_with_locks(objects.values(), ledger.labels(t), locked)
    return FrameRecord(labels, objects, kept + events)


def _unlocked(ledger: Ledger, cleared: Mapping[int, set[int]]) -> dict[str, list[int]]:
    """Return the locks that go with objects that are cleared from frames."""
    unlocked: dict[str, list[int]] = {}
    for t, ids in cleared.items():
        lost = sorted(ids & ledger.history.state.locked_ids(t))
        if lost:
            unlocked[str(t)] = lost
    return unlocked

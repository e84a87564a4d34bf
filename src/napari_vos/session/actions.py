"""The user's words: what they change, done in one step that can be undone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from napari_vos.errors import PromptError
from napari_vos.session.clearing import clear, unlocked
from napari_vos.session.marks import ANY_OBJECT, NEWEST, Mark, MarkKind, marks_of, object_ids
from napari_vos.session.merge import labels_with_locks, user_evidence, without_pixels
from napari_vos.store.evidence import EndReason
from napari_vos.store.record import Event, FrameRecord

if TYPE_CHECKING:
    from napari_vos.prompts import MaskPrompt
    from napari_vos.session.ledger import Ledger

_BACKGROUND = 0


def add_mask(
    ledger: Ledger, prompt: MaskPrompt, action: str = "add_mask", **said_beside: Any
) -> frozenset[int]:
    """Take in a painted frame; return the frames that change.

    The user's pixels win over all else on the frame, locked or not; elsewhere other
    objects keep theirs. An object of which they leave nothing is no longer marked
    there, and an object without any mark is gone everywhere.

    Parameters
    ----------
    ledger
        The session.
    prompt
        The frame.
    action
        What has made it, for the journal: masks may be painted, drawn, or come of a split.
    said_beside
        What else the journal tells of that.
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
    kept = ledger.history.state.locked_ids(t) | objects.keys()
    objects.update(said)

    sides = {i: _side(marks, i, t) for i in absent}
    ends = tuple(Event(t, i, EndReason.USER, side) for i, side in sides.items() if side)
    spoken = {*said, *absent}
    events = tuple(e for e in old_events if e.object_id not in spoken) + ends
    labels = labels_with_locks(objects.values(), ledger.labels(t), kept - spoken)
    labels[painted] = prompt.labels[painted]
    records = {t: FrameRecord(labels, objects, events)}

    for i in said:
        marks[(t, i)] = Mark(MarkKind.PRESENT, NEWEST)
    for i in absent:
        marks[(t, i)] = Mark(MarkKind.ABSENT, NEWEST)
    for i in unmarked:
        del marks[(t, i)]
    cleared = clear(ledger, marks, {*absent, *unmarked}, records)
    walls = [ANY_OBJECT] if prompt.complete else []
    return ledger.commit(
        action,
        records,
        t=t,
        **said_beside,
        prompt=ledger.folder.write_prompt(prompt.labels),
        complete=prompt.complete,
        present=sorted(said),
        absent=walls + sorted(absent),
        unmarked=[[t, i] for i in unmarked],
        unlocked=unlocked(ledger, {t: set(absent), **cleared}),
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

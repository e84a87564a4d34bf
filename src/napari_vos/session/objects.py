"""What the user does with whole objects: end, delete, merge, split; each one step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from napari_vos.errors import PromptError
from napari_vos.prompts import MaskPrompt
from napari_vos.session import actions
from napari_vos.session.clearing import clear, holds, unlocked, without
from napari_vos.session.marks import (
    NEWEST,
    Mark,
    MarkKind,
    free_ids,
    is_supported,
    marks_of,
    object_ids,
)
from napari_vos.session.merge import unite
from napari_vos.session.spans import Arm, arm_end
from napari_vos.store.evidence import EndReason
from napari_vos.store.record import Event, FrameRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_vos.session.ledger import Ledger

_PRESENT = Mark(MarkKind.PRESENT, NEWEST)
_ABSENT = Mark(MarkKind.ABSENT, NEWEST)


def end_object(ledger: Ledger, object_id: int, t: int) -> frozenset[int]:
    """End an object at frame `t`; return the frames that change.

    It is gone from there on until its next user frame.
    """
    marks = dict(ledger.history.state.marks)
    marks[(t, object_id)] = _ABSENT
    own = marks_of(marks, object_id)
    following = (
        frame for frame, mark in own.items() if frame > t and mark.kind is MarkKind.PRESENT
    )
    stretch = range(t, min(following, default=ledger.n_frames))
    records = {t: without(ledger, t, {object_id}, (Event(t, object_id, EndReason.USER),))}
    cleared = clear(ledger, marks, {object_id}, records, stretch)
    return ledger.commit(
        "end_object",
        records,
        t=t,
        object_id=object_id,
        absent=[object_id],
        unlocked=unlocked(ledger, {t: {object_id}, **cleared}),
    )


def delete_object(ledger: Ledger, object_id: int) -> frozenset[int]:
    """Delete an object from all frames; return the frames that change."""
    marks = ledger.history.state.marks
    frames = [t for t in range(ledger.n_frames) if holds(ledger, t, {object_id})]
    return ledger.commit(
        "delete_object",
        {t: without(ledger, t, {object_id}) for t in frames},
        object_id=object_id,
        unmarked=[[t, i] for t, i in sorted(marks) if i == object_id],
        unlocked=unlocked(ledger, {t: {object_id} for t in range(ledger.n_frames)}),
    )


class Pair(NamedTuple):
    """Two objects that become one.

    Attributes
    ----------
    one
        The object that stays.
    other
        The object that becomes a part of it.
    """

    one: int
    other: int


def merge_objects(ledger: Ledger, pair: Pair, frames: range) -> frozenset[int]:
    """Make an object part of another on some frames; return the frames that change.

    What is there stays as it is, under one id: nothing has to run again but what
    had still to run, or had ended. Elsewhere the other object goes on as before: the
    frames next to the range say that it is there.

    Parameters
    ----------
    ledger
        The session.
    pair
        The objects.
    frames
        In ascending order.
    """
    state = ledger.history.state
    shared = [t for t in frames if holds(ledger, t, {pair.other})]
    records = {t: _merged(ledger, t, pair) for t in shared}
    marks = _merged_marks(ledger, pair, frames)
    arms = _merged_arms(ledger, pair, frames, marks)
    cleared = clear(ledger, marks, {pair.other}, records, frames)
    locked = [t for t in shared if pair.other in state.locked_ids(t)]
    said = {key: mark for key, mark in marks.items() if state.marks.get(key) != mark}
    is_gone = pair.other not in object_ids(marks)
    return ledger.commit(
        "merge_objects",
        records,
        object_id=pair.one,
        other_id=pair.other,
        frames=[frames.start, frames.stop],
        unmarked=[list(key) for key in sorted(state.marks.keys() - marks.keys())],
        marked=[[*key, str(said[key].kind)] for key in sorted(said)],
        arms=[[*key, *arms[key]] for key in sorted(arms)],
        unlocked=unlocked(ledger, cleared),
        locked={str(t): [pair.one] for t in locked},
        parents=_merged_parents(state.parents, pair) if is_gone else {},
    )


def split_object(
    ledger: Ledger, object_id: int, t: int, parts: Sequence[ArrayLike] | None
) -> tuple[int, frozenset[int]]:
    """Make two objects of one; return the new id and the frames that change.

    Parameters
    ----------
    ledger
        The session.
    object_id
        The object; it keeps the first part.
    t
        The frame on which they are told apart.
    parts
        Two (Y, X) masks, 0 where they aren't; None for its two largest connected
        parts. What of the object lies in neither goes to the nearer one.

    Raises
    ------
    PromptError
        If the object isn't there or is in one piece, or these aren't two parts of it.
    """
    whole = ledger.labels(t) == object_id
    if not whole.any():
        raise PromptError(f"Object {object_id} isn't on frame {t}. Split it where it is.")
    what = f"object {object_id} on frame {t}"
    first, second = _largest_parts(whole, what) if parts is None else _named(parts, whole, what)
    nearer = _distance(second) < _distance(first)
    new_id = next(free_ids(ledger.history.state.marks))
    labels = np.zeros(whole.shape, np.uint16)
    labels[whole] = object_id
    labels[whole & nearer] = new_id
    labels.setflags(write=False)
    prompt = MaskPrompt(t, labels, tuple(sorted((object_id, new_id))))
    changed = actions.add_mask(ledger, prompt, "split_object", object_id=object_id, new_id=new_id)
    return new_id, changed


def _merged(ledger: Ledger, t: int, pair: Pair) -> FrameRecord:
    """Return frame `t` with both objects under one id."""
    old, events = ledger.read(t)
    objects = {i: item for i, item in old.items() if i not in pair}
    united = [replace(old[i], object_id=pair.one) for i in pair if i in old]
    if united:
        objects[pair.one] = united[0] if len(united) == 1 else unite(*united)
    labels = ledger.labels(t)
    labels = np.where(labels == pair.other, np.uint16(pair.one), labels)
    kept = tuple(event for event in events if event.object_id not in pair)
    if united:
        return FrameRecord(labels, objects, kept)
    own = sorted((event for event in events if event.object_id in pair), key=_is_of(pair.one))
    ends = {event.direction: event._replace(object_id=pair.one) for event in own}
    return FrameRecord(labels, objects, kept + tuple(ends.values()))


def _is_of(object_id: int) -> Callable[[Event], bool]:
    return lambda event: event.object_id == object_id


def _merged_marks(ledger: Ledger, pair: Pair, frames: range) -> dict[tuple[int, int], Mark]:
    """Return what is marked once the objects are one on `frames`."""
    marks = dict(ledger.history.state.marks)
    for t in frames:
        there = ledger.index(t).entries
        said, ours = marks.pop((t, pair.other), None), marks.get((t, pair.one))
        if pair.other in there and ours is not None and ours.kind is MarkKind.ABSENT:
            del marks[(t, pair.one)]  # it is there, as the other one
            ours = None
        if said and not ours and (said.kind is MarkKind.PRESENT or pair.one not in there):
            marks[(t, pair.one)] = said._replace(order=NEWEST)
    for t in (frames[0], frames[-1]):
        marks[(t, pair.other)] = _ABSENT
    for t in (frames[0] - 1, frames[-1] + 1):
        own = marks_of(marks, pair.other)
        is_there = 0 <= t < ledger.n_frames and pair.other in ledger.index(t).entries
        if is_there and t not in own and not is_supported(own, t):
            marks[(t, pair.other)] = _PRESENT
    if pair.other not in object_ids(marks):
        marks = {key: mark for key, mark in marks.items() if key[1] != pair.other}
    return marks


def _merged_arms(
    ledger: Ledger, pair: Pair, frames: range, marks: Mapping[tuple[int, int], Mark]
) -> dict[tuple[int, int, int], Arm]:
    """Return how far the marks of the merged object count as propagated.

    Its own as far as they did, over what marks no longer bound; those that were
    the other's if they had come to their end and hadn't lost it on the way.
    """
    state, n_frames = ledger.history.state, ledger.n_frames
    before = {i: marks_of(state.marks, i) for i in pair}
    after = marks_of(marks, pair.one)
    arms = {}
    for (t, i, direction), arm in state.arms.items():
        moved = i == pair.other and t in frames and before[pair.one].get(t) != after.get(t)
        if not moved and i != pair.one:
            continue
        end = arm_end(before[i], t, direction, n_frames)
        is_done = (end - arm.until) * direction <= 0
        if (is_done and not arm.ended) if moved else (is_done or arm.ended):
            reached = arm._replace(until=arm_end(after, t, direction, n_frames))
            if moved or reached != arm:
                arms[(t, pair.one, direction)] = reached
    return arms


def _merged_parents(parents: Mapping[int, int], pair: Pair) -> dict[str, int | None]:
    """Return the parents that change if an object has become another as a whole."""
    said: dict[str, int | None] = {
        str(child): pair.one for child, parent in parents.items() if parent == pair.other
    }
    if parents.get(pair.one, pair.other) == pair.other:
        inherited = parents.get(pair.other)
        said[str(pair.one)] = None if pair.one in _line_of(parents, inherited) else inherited
    return said


def _line_of(parents: Mapping[int, int], object_id: int | None) -> list[int]:
    """Return an object, its parent, and so on."""
    line: list[int] = []
    while object_id is not None and object_id not in line:
        line.append(object_id)
        object_id = parents.get(object_id)
    return line


def _largest_parts(
    whole: NDArray[np.bool_], what: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the two largest connected parts of a mask, the larger one first.

    Pixels that touch at a corner are connected.
    """
    parts, n_parts = ndimage.label(whole, np.ones((3, 3)))
    if n_parts < 2:
        raise PromptError(
            f"There is one piece of {what}. Say where its two parts are: paint a stroke on each."
        )
    order = np.argsort(-np.bincount(parts.ravel())[1:], kind="stable") + 1
    return parts == order[0], parts == order[1]


def _named(
    parts: Sequence[ArrayLike], whole: NDArray[np.bool_], what: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return two parts of a mask as they were named."""
    masks = [np.asarray(part) != 0 for part in parts]
    if len(masks) != 2 or any(mask.shape != whole.shape for mask in masks):
        raise PromptError(
            f"The parts of {what} have the shapes {[mask.shape for mask in masks]}; expected two "
            f"masks of {whole.shape}."
        )
    first, second = masks[0] & whole, masks[1] & whole
    if not first.any() or not second.any() or (first & second).any():
        raise PromptError(
            f"These aren't two parts of {what}: "
            f"{np.count_nonzero(first)} and {np.count_nonzero(second)} of its pixels are named, "
            f"{np.count_nonzero(first & second)} of them in both. Paint a stroke on each part."
        )
    return first, second


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    distance: NDArray[np.float64] = ndimage.distance_transform_edt(~mask)
    return distance

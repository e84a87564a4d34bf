"""What the user has said of an object on a frame."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

ANY_OBJECT = 0
"""Stands for all objects without a mark of their own on a frame."""

NEWEST = 2**62
"""Order of a mark whose line isn't written yet."""


class MarkKind(StrEnum):
    """What is said."""

    PRESENT = "present"
    ABSENT = "absent"


class Mark(NamedTuple):
    """A user's word on one object on one frame.

    Attributes
    ----------
    kind
        Whether the object is there.
    order
        The number of the journal line that says so; later words have larger ones.
    """

    kind: MarkKind
    order: int


Marks = Mapping[tuple[int, int], Mark]
"""By (t, object id). `ANY_OBJECT` is marked absent on complete frames."""


def object_ids(marks: Marks) -> tuple[int, ...]:
    """Return the ids of all objects that are present on some user frame, ascending."""
    return tuple(sorted({i for (_, i), mark in marks.items() if mark.kind is MarkKind.PRESENT}))


def marks_of(marks: Marks, object_id: int) -> dict[int, Mark]:
    """Return the marks that hold for one object, by frame in ascending order."""
    frames = {t for t, i in marks if i in (object_id, ANY_OBJECT)}
    return {
        t: marks[(t, object_id)] if (t, object_id) in marks else marks[(t, ANY_OBJECT)]
        for t in sorted(frames)
    }


def is_supported(own: Mapping[int, Mark], t: int) -> bool:
    """Return whether an unmarked frame can hold evidence of an object with these marks.

    It can if the next mark on either side says that the object is there. Between
    two marks of absence, and beyond one where nothing follows, nothing speaks
    for it.
    """
    before = max((frame for frame in own if frame < t), default=None)
    after = min((frame for frame in own if frame > t), default=None)
    return any(
        frame is not None and own[frame].kind is MarkKind.PRESENT for frame in (before, after)
    )

"""What the user has said of an object on a frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from napari_vos.errors import PromptError
from napari_vos.prompts import MAX_OBJECT_ID

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


def free_ids(marks: Marks) -> Iterator[int]:
    """Yield ids of which nothing was said: those above all others, then those between.

    Raises
    ------
    PromptError
        If there are no more.
    """
    taken = {i for _, i in marks}
    highest = max(taken, default=0)
    yield from range(highest + 1, MAX_OBJECT_ID + 1)
    yield from (i for i in range(1, highest) if i not in taken)
    raise PromptError(
        f"There is no id left for a new object: ids go up to {MAX_OBJECT_ID}. Delete objects that "
        "aren't needed."
    )


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

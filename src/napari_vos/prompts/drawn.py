"""What is drawn roughly, for an interactor to make masks of: scribbles, points, boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from napari_vos.errors import PromptError
from napari_vos.prompts.ids import MAX_OBJECT_ID

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

Point = tuple[float, float]
"""(y, x)."""


@dataclass(frozen=True)
class ScribblePrompt:
    """Strokes on an object, or on what is no part of it.

    Attributes
    ----------
    t
        Frame index.
    object_id
        The object.
    lines
        The strokes, each a polyline; one of a single point is a dot.
    width
        Of the strokes, in pixels.
    positive
        Whether they lie on the object.
    """

    kind: ClassVar[str] = "scribble"

    t: int
    object_id: int
    lines: tuple[tuple[Point, ...], ...]
    width: float = 3.0
    positive: bool = True


@dataclass(frozen=True)
class PointPrompt:
    """Clicks on an object, or on what is no part of it.

    Attributes
    ----------
    t
        Frame index.
    object_id
        The object.
    points
        The clicks.
    radius
        Of the small disc that each is taken for, in pixels.
    positive
        Whether they lie on the object.
    """

    kind: ClassVar[str] = "point"

    t: int
    object_id: int
    points: tuple[Point, ...]
    radius: float = 2.0
    positive: bool = True


@dataclass(frozen=True)
class BoxPrompt:
    """A box that holds the whole object.

    Attributes
    ----------
    t
        Frame index.
    object_id
        The object.
    top, left, bottom, right
        Pixels whose centres lie between these, inclusive, are in the box.
    """

    kind: ClassVar[str] = "box"

    t: int
    object_id: int
    top: float
    left: float
    bottom: float
    right: float


DrawnPrompt = ScribblePrompt | PointPrompt | BoxPrompt


def scribble_prompt(
    t: int,
    object_id: int,
    lines: ArrayLike | Iterable[ArrayLike],
    *,
    width: float = 3.0,
    positive: bool = True,
) -> ScribblePrompt:
    """Check strokes and freeze them.

    Parameters
    ----------
    t, object_id, width, positive
        See `ScribblePrompt`.
    lines
        One stroke (N, 2), or several; of (y, x).

    Raises
    ------
    PromptError
        If the object id is none, nothing is drawn, the width is below 1, or
        these aren't strokes.
    """
    checked = _checked_id(t, object_id, "scribble")
    if not width >= 1:
        raise PromptError(
            f"The {_what('scribble', t, checked)} is {width} pixels wide; expected at least 1."
        )
    given = list(cast("Iterable[Any]", lines))
    strokes = [given] if given and np.ndim(given[0]) == 1 else given
    frozen = tuple(_points(line, _what("scribble", t, checked)) for line in strokes)
    if not frozen:
        raise PromptError(f"The {_what('scribble', t, checked)} is empty. Draw at least a dot.")
    return ScribblePrompt(int(t), checked, frozen, float(width), positive)


def point_prompt(
    t: int, object_id: int, points: ArrayLike, *, radius: float = 2.0, positive: bool = True
) -> PointPrompt:
    """Check clicks and freeze them.

    Parameters
    ----------
    t, object_id, radius, positive
        See `PointPrompt`.
    points
        One (y, x), or several (N, 2).

    Raises
    ------
    PromptError
        If the object id is none, nothing is clicked, the radius is negative, or
        these aren't points.
    """
    checked = _checked_id(t, object_id, "point")
    if not radius >= 0:
        raise PromptError(
            f"The {_what('point', t, checked)} has the radius {radius}; expected at least 0."
        )
    frozen = _points(np.atleast_2d(np.asarray(points, float)), _what("point", t, checked))
    return PointPrompt(int(t), checked, frozen, float(radius), positive)


def box_prompt(t: int, object_id: int, box: ArrayLike) -> BoxPrompt:
    """Check a box and freeze it.

    Parameters
    ----------
    t, object_id
        See `BoxPrompt`.
    box
        Two opposite corners: (top, left, bottom, right).

    Raises
    ------
    PromptError
        If the object id is none, or this isn't a box.
    """
    checked = _checked_id(t, object_id, "box")
    corners = np.asarray(box, float)
    if corners.size != 4:
        raise PromptError(
            f"The {_what('box', t, checked)} has shape {corners.shape}; expected "
            "(top, left, bottom, right)."
        )
    points = np.array(_points(corners.reshape(2, 2), _what("box", t, checked)))
    (top, left), (bottom, right) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return BoxPrompt(int(t), checked, top, left, bottom, right)


def name_of(prompt: DrawnPrompt) -> str:
    """Return the words for a prompt in messages: "scribble of object 7 on frame 3"."""
    return _what(prompt.kind, prompt.t, prompt.object_id)


def _what(kind: str, t: int, object_id: int) -> str:
    return f"{kind} of object {object_id} on frame {t}"


def _checked_id(t: int, object_id: int, kind: str) -> int:
    if object_id == 0:
        raise PromptError(
            f"The {kind} on frame {t} is of object 0, which is the background. To say what "
            "doesn't belong to an object, draw a negative one with the id of that object."
        )
    if not 1 <= object_id <= MAX_OBJECT_ID or int(object_id) != object_id:
        raise PromptError(
            f"The {kind} on frame {t} is of object {object_id}; expected an id from 1 to "
            f"{MAX_OBJECT_ID}."
        )
    return int(object_id)


def _points(points: ArrayLike, what: str) -> tuple[Point, ...]:
    array = np.asarray(points, float)
    if not array.size:
        raise PromptError(f"The {what} is empty. Draw at least a dot.")
    if array.ndim != 2 or array.shape[1] != 2:
        raise PromptError(f"The {what} has shape {array.shape}; expected points (y, x).")
    if not np.isfinite(array).all():
        raise PromptError(f"The {what} has a point without finite coordinates.")
    return tuple((y, x) for y, x in array.tolist())

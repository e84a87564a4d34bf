"""From what is drawn on a frame to pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from napari_vos.errors import PromptError
from napari_vos.prompts.drawn import BoxPrompt, DrawnPrompt, PointPrompt, name_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.prompts.drawn import Point, ScribblePrompt

Window = tuple[slice, slice]
"""Rows and columns of a frame."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """All that is drawn on one frame at once, pixel by pixel.

    What is drawn later wins, as in painting: where a stroke crosses an earlier
    one that says otherwise, the earlier one is forgotten.

    Attributes
    ----------
    prompts
        What was drawn, in order.
    positive
        (Y, X) uint16, read-only: the object whose stroke lies there, 0 elsewhere.
    negatives
        (Y, X) bool by object id, for objects with negative strokes.
    boxes
        Rows and columns by object id, for objects with a box; its latest one.
    """

    prompts: tuple[DrawnPrompt, ...]
    positive: NDArray[np.uint16]
    negatives: Mapping[int, NDArray[np.bool_]]
    boxes: Mapping[int, Window]

    @property
    def t(self) -> int:
        """The frame."""
        return self.prompts[0].t

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects that are spoken of, ascending."""
        return tuple(sorted({prompt.object_id for prompt in self.prompts}))

    def inside(self, object_id: int, window: Window = np.s_[:, :]) -> NDArray[np.bool_]:
        """Return where an object is said to be, within `window`."""
        mask: NDArray[np.bool_] = self.positive[window] == object_id
        return mask

    def outside(self, object_id: int, window: Window = np.s_[:, :]) -> NDArray[np.bool_]:
        """Return where an object is said not to be: negative strokes, and strokes of others."""
        strokes = self.positive[window]
        others: NDArray[np.bool_] = (strokes > 0) & (strokes != object_id)
        return others | self.negatives[object_id][window] if object_id in self.negatives else others


def draw(prompts: Iterable[DrawnPrompt], shape: tuple[int, int]) -> Drawing:
    """Draw prompts on a frame, in their order.

    Strokes and boxes that reach beyond the frame are cut off there.

    Parameters
    ----------
    prompts
        All on one frame.
    shape
        (Y, X) of the frame.

    Raises
    ------
    PromptError
        If there are none, they are on several frames, or one lies outside of it.
    """
    prompts = tuple(prompts)
    if len({prompt.t for prompt in prompts}) != 1:
        frames = ", ".join(map(str, sorted({prompt.t for prompt in prompts})))
        raise PromptError(
            f"The prompts are on frames {frames}. Say what is on one frame at a time."
            if prompts
            else "Nothing is drawn. Draw at least one scribble, point or box."
        )
    positive = np.zeros(shape, np.uint16)
    negatives: dict[int, NDArray[np.bool_]] = {}
    boxes: dict[int, Window] = {}
    for prompt in prompts:
        i = prompt.object_id
        if isinstance(prompt, BoxPrompt):
            boxes[i] = _window(prompt, shape)
            continue
        strokes = _strokes(prompt, shape)
        if prompt.positive:
            positive[strokes] = i
            if i in negatives:
                negatives[i][strokes] = False
        else:
            positive[strokes & (positive == i)] = 0
            negatives.setdefault(i, np.zeros(shape, np.bool_))[strokes] = True
    positive.setflags(write=False)
    return Drawing(prompts, positive, negatives, boxes)


def _window(box: BoxPrompt, shape: tuple[int, int]) -> Window:
    top, left = max(0, math.ceil(box.top)), max(0, math.ceil(box.left))
    bottom = min(shape[0], math.floor(box.bottom) + 1)
    right = min(shape[1], math.floor(box.right) + 1)
    if bottom <= top or right <= left:
        raise _outside(box, shape)
    return slice(top, bottom), slice(left, right)


def _strokes(prompt: ScribblePrompt | PointPrompt, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return (Y, X) bool: the pixels that strokes or discs cover."""
    mask = np.zeros(shape, np.bool_)
    if isinstance(prompt, PointPrompt):
        lines: Iterable[tuple[Point, ...]] = ((point,) for point in prompt.points)
        radius = prompt.radius
    else:
        lines, radius = prompt.lines, prompt.width / 2
    for line in lines:
        for start, end in pairwise(line if len(line) > 1 else line * 2):
            _add_segment(mask, start, end, radius)
    if not mask.any():
        raise _outside(prompt, shape)
    return mask


def _add_segment(mask: NDArray[np.bool_], start: Point, end: Point, radius: float) -> None:
    """Set the pixels within `radius` of a segment, and those of its ends however thin it is."""
    for y, x in (start, end):
        row, column = math.floor(y + 0.5), math.floor(x + 0.5)
        if 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]:
            mask[row, column] = True
    ranges = []
    for side, a, b in zip(mask.shape, start, end, strict=True):
        first, last = math.ceil(min(a, b) - radius), math.floor(max(a, b) + radius)
        ranges.append(slice(max(0, first), max(0, min(side, last + 1))))
    rows, columns = np.ogrid[ranges[0], ranges[1]]
    down, along = end[0] - start[0], end[1] - start[1]
    rows, columns = rows - start[0], columns - start[1]
    length = down**2 + along**2
    share = np.clip((rows * down + columns * along) / length, 0, 1) if length else np.float64(0)
    mask[ranges[0], ranges[1]] |= (rows - share * down) ** 2 + (
        columns - share * along
    ) ** 2 <= radius**2


def _outside(prompt: DrawnPrompt, shape: tuple[int, int]) -> PromptError:
    return PromptError(
        f"The {name_of(prompt)} lies outside the image (rows 0-{shape[0] - 1}, columns "
        f"0-{shape[1] - 1}). Check that it was drawn on a layer with the scale and translation of "
        "the images."
    )

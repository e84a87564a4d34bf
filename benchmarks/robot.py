"""A user who knows the truth, and marks where a result is wrong.

In the manner of the robot of the DAVIS interactive challenge (Caelles et al., The
2018 DAVIS challenge on video object segmentation, 2018): strokes are the
skeletons of objects at first, then those of the largest regions that are wrong.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.morphology import skeletonize

from napari_vos.prompts import DrawnPrompt, box_prompt, point_prompt, scribble_prompt

if TYPE_CHECKING:
    from collections.abc import Iterable

KINDS = ("scribble", "click", "box", "mask")
"""How the robot marks objects; a mask is the truth, painted."""

GOOD = 0.95
"""J above which the robot leaves an object alone."""

Pixel = tuple[int, int]


def first_marks(
    kind: str, t: int, truth: np.ndarray, object_ids: Iterable[int]
) -> list[DrawnPrompt]:
    """Return one mark on each object of a frame."""
    return [_mark(kind, t, i, truth == i, truth == i, positive=True) for i in object_ids]


def corrections(
    kind: str, t: int, result: np.ndarray, truth: np.ndarray, object_ids: Iterable[int]
) -> list[DrawnPrompt]:
    """Return one mark on each object of a frame, where most of it is wrong."""
    marks = []
    for i in object_ids:
        ours, theirs = result == i, truth == i
        lacking, excess = _largest(theirs & ~ours), _largest(ours & ~theirs)
        positive = bool(lacking.sum() >= excess.sum())
        marks.append(_mark(kind, t, i, lacking if positive else excess, theirs, positive=positive))
    return marks


def stroke_in(region: np.ndarray) -> tuple[list[Pixel], int]:
    """Return the longest stroke along the skeleton of a region (Y, X), and its width.

    It is 3 pixels wide where that fits, else 1.
    """
    core = ndimage.binary_erosion(region)
    wide = bool(core.any())
    pixels = skeletonize(_largest(core if wide else region))
    return _longest_path({(int(y), int(x)) for y, x in np.argwhere(pixels)}), 3 if wide else 1


def _mark(
    kind: str, t: int, i: int, region: np.ndarray, mask: np.ndarray, *, positive: bool
) -> DrawnPrompt:
    if kind == "box":
        rows, columns = np.nonzero(mask)
        return box_prompt(t, i, (rows.min(), columns.min(), rows.max(), columns.max()))
    if kind == "click":
        depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
        point = np.unravel_index(int(depth.argmax()), depth.shape)
        return point_prompt(t, i, point, radius=min(2.0, depth.max() - 1), positive=positive)
    line, width = stroke_in(region)
    return scribble_prompt(t, i, line, width=width, positive=positive)


def _largest(mask: np.ndarray) -> np.ndarray:
    """Return the largest connected part of a mask, seams of single pixels left out if they can."""
    opened = ndimage.binary_opening(mask)
    parts, n_parts = ndimage.label(opened if opened.any() else mask, np.ones((3, 3)))
    if not n_parts:
        return mask
    return parts == np.bincount(parts.ravel())[1:].argmax() + 1


def _longest_path(pixels: set[Pixel]) -> list[Pixel]:
    """Return the way between the two pixels that are farthest from each other."""
    end = _ways(pixels, min(pixels))[-1][0]
    ways = _ways(pixels, end)
    before = dict(ways)
    path = [ways[-1][0]]
    while path[-1] != end:
        path.append(before[path[-1]])
    return path


def _ways(pixels: set[Pixel], start: Pixel) -> list[tuple[Pixel, Pixel]]:
    """Return all pixels that are connected with one, by distance, with the pixel before each."""
    ways, seen, pending = [(start, start)], {start}, deque([start])
    while pending:
        y, x = pending.popleft()
        for near in ((y + down, x + along) for down in (-1, 0, 1) for along in (-1, 0, 1)):
            if near in pixels and near not in seen:
                seen.add(near)
                pending.append(near)
                ways.append((near, (y, x)))
    return ways

"""Frames in overlapping tiles, and their instances merged across the seams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from napari_vos.engines.base import Combination, FrameInstances, Kind, RawDetections
from napari_vos.metrics.instances import find_overlaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAME = 0.5
"""Two instances of different tiles are one if they overlap (IoU) more where both are seen."""

EDGE = 1 / 64
"""An instance that ends so near to a tile's edge, as a part of its side, is cut there."""

MAX_LABEL = 65535


class Tile(NamedTuple):
    """A square part of a frame, which may reach beyond it below and on the right; pixels."""

    top: int
    left: int
    side: int

    def within(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """Return the rows and columns of a frame (Y, X) that it shows."""
        rows, columns = (
            slice(first, min(first + self.side, length))
            for first, length in zip((self.top, self.left), shape, strict=True)
        )
        return rows, columns

    def shows(self, box: tuple[slice, slice]) -> bool:
        """Say whether a part of a frame lies in it as a whole."""
        return all(
            first <= span.start and span.stop <= first + self.side
            for first, span in zip((self.top, self.left), box, strict=True)
        )


def cover(shape: tuple[int, int], side: int, overlap: int) -> tuple[Tile, ...]:
    """Return tiles that cover a frame (Y, X), neighbours sharing at least `overlap` pixels."""
    rows, columns = (_starts(length, side, overlap) for length in shape)
    return tuple(Tile(top, left, side) for top in rows for left in columns)


def _starts(length: int, side: int, overlap: int) -> list[int]:
    if length <= side:
        return [0]
    count = -(-(length - overlap) // (side - overlap))
    return [int(start) for start in np.linspace(0, length - side, count).round()]


@dataclass(frozen=True)
class TiledDetections:
    """What was seen on the tiles of a frame.

    Attributes
    ----------
    tiles
        Where they are.
    seen
        What is on each of them.
    shape
        (Y, X) of the frame.
    """

    tiles: tuple[Tile, ...]
    seen: tuple[RawDetections, ...]
    shape: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Main memory of what was seen."""
        return sum(raw.nbytes for raw in self.seen)

    def instances(
        self, *, score: float = 0.3, overlap: float = 0.5, kind: Kind = None
    ) -> FrameInstances:
        """Return what these thresholds leave; see `RawDetections.instances`.

        Parts of an instance on several tiles are joined. A part that is cut by
        its tile's edge, and lies on another tile that shows more of it, is left
        to that tile. Of an instance in several pieces the largest one is kept.
        """
        labels, shown = self._find(score, overlap, kind)
        corners = [[*(s.start for s in part.box), *(s.stop for s in part.box)] for part in shown]
        return FrameInstances(
            labels,
            np.array([part.score for part in shown], np.float32),
            np.array([part.kind for part in shown], np.int64),
            np.array(corners, np.float32).reshape(-1, 4),
        )

    def combination(
        self, label: int, *, score: float, overlap: float, kind: Kind = None
    ) -> Combination:
        """Return how the most certain part of a mask is made; see `RawDetections.combination`."""
        _, shown = self._find(score, overlap, kind)
        part = shown[label - 1]
        seen = self.seen[part.tile]
        return seen.combination(part.number, score=score, overlap=overlap, kind=kind)

    def _find(
        self, score: float, overlap: float, kind: Kind
    ) -> tuple[NDArray[np.uint16], list[_Part]]:
        """Return labels 1 to V, and the most certain part of each of these instances."""
        found = [raw.instances(score=score, overlap=overlap, kind=kind) for raw in self.seen]
        views = [tile.within(self.shape) for tile in self.tiles]
        labels = [
            instances.labels[: rows.stop - rows.start, : columns.stop - columns.start]
            for instances, (rows, columns) in zip(found, views, strict=True)
        ]
        parts = [
            _Part(index, number, box, float(score), int(kind))
            for index, instances in enumerate(found)
            for number, box, score, kind in zip(
                range(1, len(instances.scores) + 1),
                _boxes(labels[index], self.tiles[index]),
                instances.scores,
                instances.classes,
                strict=False,
            )
            if box is not None
        ]
        near = _find_near(self.tiles)
        parts = [part for part in parts if not self._is_seen_better(part, near[part.tile])]
        return self._paint(_join(parts, labels, self.tiles, near), labels, overlap)

    def _is_seen_better(self, part: _Part, near: Sequence[int]) -> bool:
        """Say whether another tile, one of those near, shows more of a part."""
        own = self.tiles[part.tile]
        if not self._is_cut(part.box, own):
            return False
        others = (self.tiles[i] for i in near)
        return any(
            tile != own and tile.shows(part.box) and not self._is_cut(part.box, tile)
            for tile in others
        )

    def _is_cut(self, box: tuple[slice, slice], tile: Tile) -> bool:
        """Say whether a box reaches an edge of a tile that isn't one of the frame."""
        near = tile.side * EDGE
        return any(
            (first > 0 and span.start <= first + near)
            or (first + tile.side < length and span.stop >= first + tile.side - near)
            for span, first, length in zip(box, tile[:2], self.shape, strict=True)
        )

    def _paint(
        self, groups: list[list[_Part]], labels: Sequence[NDArray[np.uint16]], overlap: float
    ) -> tuple[NDArray[np.uint16], list[_Part]]:
        canvas = np.zeros(self.shape, np.uint16)
        shown: list[_Part] = []
        for group in sorted(groups, key=lambda group: -group[0].score):
            box = _around([part.box for part in group])
            mask = np.zeros([span.stop - span.start for span in box], bool)
            for part in group:
                tile = self.tiles[part.tile]
                inside = _moved(part.box, (tile.top, tile.left))
                own = labels[part.tile][inside] == part.number
                mask[_moved(part.box, (box[0].start, box[1].start))] |= own
            mask = _largest_piece(mask)
            free = _largest_piece(mask & (canvas[box] == 0))
            if len(shown) < MAX_LABEL and free.sum() >= max(1, (1 - overlap) * mask.sum()):
                shown.append(group[0]._replace(box=box))
                canvas[box][free] = len(shown)
        return canvas, shown


class _Part(NamedTuple):
    """An instance as one tile shows it; the box in pixels of the frame."""

    tile: int
    number: int
    box: tuple[slice, slice]
    score: float
    kind: int


def _find_near(tiles: Sequence[Tile]) -> list[list[int]]:
    """Return for each tile which ones may share pixels with it, itself among them."""
    corners = [(tile.top, tile.left) for tile in tiles]
    reach = max(tile.side for tile in tiles)
    return [list(near) for near in KDTree(corners).query_ball_point(corners, reach, p=np.inf)]


def _join(
    parts: list[_Part],
    labels: Sequence[NDArray[np.uint16]],
    tiles: Sequence[Tile],
    near: Sequence[Sequence[int]],
) -> list[list[_Part]]:
    """Return the parts of each instance, the most certain first; `near` as of `_find_near`."""
    place = {(part.tile, part.number): index for index, part in enumerate(parts)}
    same: list[tuple[int, int]] = []
    for a, b in ((a, b) for a, others in enumerate(near) for b in others if a < b):
        shared = _shared(tiles[a], tiles[b])
        if shared is None:
            continue
        views = [labels[i][_moved(shared, (tiles[i].top, tiles[i].left))] for i in (a, b)]
        overlaps = find_overlaps(*views)
        agree = overlaps.iou > SAME
        pairs = zip(overlaps.first[agree].tolist(), overlaps.second[agree].tolist(), strict=True)
        ends = [(place.get((a, first)), place.get((b, second))) for first, second in pairs]
        same += [(i, j) for i, j in ends if i is not None and j is not None]
    rows, columns = np.array(same, int).reshape(-1, 2).T
    links = coo_array((np.ones(len(same)), (rows, columns)), shape=(len(parts), len(parts)))
    n_groups, group_of = connected_components(links, directed=False)
    groups: list[list[_Part]] = [[] for _ in range(n_groups)]
    for part, group in zip(parts, group_of, strict=True):
        groups[group].append(part)
    return [sorted(group, key=lambda part: -part.score) for group in groups]


def _shared(one: Tile, other: Tile) -> tuple[slice, slice] | None:
    """Return what two tiles both show."""
    spans = [
        slice(max(a, b), min(a + one.side, b + other.side))
        for a, b in zip(one[:2], other[:2], strict=True)
    ]
    if any(span.start >= span.stop for span in spans):
        return None
    return spans[0], spans[1]


def _boxes(labels: NDArray[Any], tile: Tile) -> list[tuple[slice, slice] | None]:
    return [
        None if box is None else _moved(box, (-tile.top, -tile.left))
        for box in ndimage.find_objects(labels)
    ]


def _largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    pieces, n_pieces = ndimage.label(mask)
    if n_pieces < 2:
        return mask
    largest = np.bincount(pieces.ravel())[1:].argmax() + 1
    return np.asarray(pieces == largest)


def _moved(box: tuple[slice, slice], origin: tuple[int, int]) -> tuple[slice, slice]:
    rows, columns = (
        slice(span.start - first, span.stop - first)
        for span, first in zip(box, origin, strict=True)
    )
    return rows, columns


def _around(boxes: list[tuple[slice, slice]]) -> tuple[slice, slice]:
    rows, columns = (
        slice(min(span.start for span in spans), max(span.stop for span in spans))
        for spans in zip(*boxes, strict=True)
    )
    return rows, columns

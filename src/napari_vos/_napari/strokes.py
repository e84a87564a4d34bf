"""What is drawn on a layer, and which of it has become masks already. Main thread only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from napari.layers import Labels, Points, Shapes

from napari_vos._napari.brush import painted_frames
from napari_vos._napari.drawing import (
    OBJECT,
    POSITIVE,
    FrameDrawing,
    combine,
    read_points,
    read_shapes,
)
from napari_vos._napari.snapshot import METADATA, check_frame, labels_axes, take_frame
from napari_vos.errors import PromptError
from napari_vos.prompts import MAX_OBJECT_ID, painted_scribbles

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_vos._napari.drawing import Place

DrawingLayer: TypeAlias = "Shapes | Points | Labels"


Where: TypeAlias = tuple[bytes, int]
"""A shape's or point's geometry, and how many of the same were drawn before."""


@dataclass(frozen=True, eq=False)
class PaintedFrame:
    """What is painted on a frame, and whose it is: as it was when each stroke ended.

    Attributes
    ----------
    labels
        (Y, X), as they are on the layer.
    beside
        (Y, X) uint16: the object that the negative strokes are no part of, 0 elsewhere.
    """

    labels: NDArray[np.generic]
    beside: NDArray[np.uint16]

    @classmethod
    def empty(cls, labels: NDArray[np.generic]) -> PaintedFrame:
        """Return a frame like `labels` on which nothing is painted."""
        return cls(np.zeros_like(labels), np.zeros(labels.shape, np.uint16))

    def painted(
        self, where: NDArray[np.bool_], labels: NDArray[np.generic], beside: NDArray[np.uint16]
    ) -> PaintedFrame:
        """Return the frame with new paint somewhere."""
        return PaintedFrame(
            np.where(where, labels, self.labels), np.where(where, beside, self.beside)
        )

    def since(self, before: PaintedFrame) -> PaintedFrame:
        """Return what is new."""
        same = (self.labels == before.labels) & (self.beside == before.beside)
        return PaintedFrame(np.where(same, 0, self.labels), np.where(same, 0, self.beside))

    def drawing(self, t: int) -> FrameDrawing:
        """Return what is said of frame `t`."""
        prompts = painted_scribbles(t, np.where(self.beside, 0, self.labels))
        off = {i: i for i in np.unique(self.beside[self.beside > 0]).tolist()}
        return FrameDrawing(None, prompts + painted_scribbles(t, self.beside, negative=off))


@dataclass(frozen=True, eq=False)
class Taken:
    """What was read of a layer at once.

    Attributes
    ----------
    drawings
        What is said, by frame.
    keys
        Of the shapes or points.
    painted
        All that is painted on a labels layer, by frame.
    """

    drawings: dict[int, FrameDrawing]
    keys: frozenset[Hashable] = frozenset()
    painted: Mapping[int, PaintedFrame] = field(default_factory=dict)

    def on(self, t: int) -> Taken:
        """Return the strokes on one frame alone; of shapes and points, all."""
        return replace(self, painted={f: each for f, each in self.painted.items() if f == t})


class Strokes:
    """Knows what is drawn on a layer, and reads what is new.

    Parameters
    ----------
    layer
        Shapes, points, or labels on which strokes are painted.

    Attributes
    ----------
    is_asked
        Whether masks are wanted of what is new.
    """

    def __init__(self, layer: DrawingLayer) -> None:
        self.layer = layer
        self.is_asked = False
        self._keys: set[Hashable] = set()
        self._frames: dict[Where, int] = {}
        self._latest: tuple[Place, set[int]] | None = None
        self._noted: dict[int, PaintedFrame] = {}
        self._taken: dict[int, PaintedFrame] = {}

    def aim(self, object_id: int, *, positive: bool) -> None:
        """Let what will be drawn be of an object, or of what is no part of it."""
        layer = self.layer
        if isinstance(layer, Labels):
            layer.selected_label = object_id if positive else negative_label(layer)
            return
        said = {OBJECT: object_id, POSITIVE: positive}
        missing = {name: value for name, value in said.items() if name not in layer.features}
        if missing:
            known = {name: layer.features[name] for name in layer.features}
            added = {name: [value] * len(layer.data) for name, value in missing.items()}
            layer.features = {**known, **added}
        others = {name: layer.feature_defaults[name].iloc[0] for name in layer.feature_defaults}
        layer.feature_defaults = {**others, **said}

    def note(self, place: Place, edits: Iterable[Any] = ()) -> None:
        """Remember on which frame, and beside which object, something was drawn just now.

        The view may have moved on when it is read, and another object be the current one.

        Parameters
        ----------
        place
            Where it lies in the images.
        edits
            What a labels layer tells of a stroke.

        Raises
        ------
        PromptError
            If the layer doesn't fit the images.
        """
        layer = self.layer
        if isinstance(layer, Labels):
            self._settle(layer)
            letters = labels_axes(layer, place.snapshot)
            frames = painted_frames(edits, letters.index("T")) if "T" in letters else set()
            self._latest = place, frames or {check_frame(place.snapshot, place.shown)}
        elif place.shown is not None and not place.has_time(layer):
            drawn = [where for where, *_ in _keys_of(layer)]
            self._frames = {where: self._frames.get(where, place.shown) for where in drawn}

    def read(self, place: Place, *, again: bool) -> Taken | None:
        """Return what is new; None if nothing is.

        Of a labels layer it is what is new on the frame in view, and on all frames
        whose strokes were noted.

        Parameters
        ----------
        place
            Where the strokes lie in the images.
        again
            If nothing is new, all that is drawn on the frame in view is taken.

        Raises
        ------
        PromptError
            If anything can't be used.
        """
        if isinstance(self.layer, Labels):
            return self._read_painted(self.layer, place, again=again)
        keys = _keys_of(self.layer)
        new = [index for index, key in enumerate(keys) if key not in self._keys]
        if new:
            return Taken(self._read_drawn(self.layer, place, keys, new), frozenset(keys))
        drawings = self._read_drawn(self.layer, place, keys, range(len(keys))) if again else {}
        if place.shown not in drawings:
            return None
        return Taken({place.shown: drawings[place.shown]})

    def keep(self, taken: Taken) -> None:
        """Remember that what was taken isn't new any more."""
        self._keys |= taken.keys
        self._taken.update(taken.painted)

    def _read_drawn(
        self,
        layer: Shapes | Points,
        place: Place,
        keys: Sequence[tuple[Where, Hashable]],
        indices: Iterable[int],
    ) -> dict[int, FrameDrawing]:
        """Return some shapes or points, by frame; without time, the one they were drawn on."""
        by_frame: dict[int | None, list[int]] = {}
        for index in indices:
            t = self._frames.get(keys[index][0], place.shown)
            by_frame.setdefault(t, []).append(index)
        read = [_read(layer, replace(place, shown=t), chosen) for t, chosen in by_frame.items()]
        return combine(read)

    def _read_painted(self, layer: Labels, place: Place, *, again: bool) -> Taken | None:
        if METADATA in layer.metadata:
            raise PromptError(
                f"'{layer.name}' shows results: what is painted there is taken for whole masks. "
                "Press 'New scribbles' and draw on that layer."
            )
        self._settle(layer)
        frames = [t for t, noted in self._noted.items() if noted is not self._taken.get(t)]
        n_frames = place.snapshot.shape[place.snapshot.letters.index("T")]
        if not frames or place.shown in range(n_frames):
            frames.insert(0, check_frame(place.snapshot, place.shown))
        painted: dict[int, PaintedFrame] = {}
        drawings: dict[int, FrameDrawing] = {}
        for t in frames:
            self._note_painted(layer, place, t)  # it may have been undone, or set without a brush
            if t in self._noted:
                noted = painted[t] = self._noted[t]
                new = noted.since(self._taken.get(t, PaintedFrame.empty(noted.labels)))
                if new.labels.any():
                    drawings[t] = new.drawing(t)
        if again and not drawings and place.shown in painted and painted[place.shown].labels.any():
            drawings[place.shown] = painted[place.shown].drawing(place.shown)
        return Taken(drawings, painted=painted) if drawings else None

    def _settle(self, layer: Labels) -> None:
        """Look at the latest stroke; a layer may tell of it before it has changed."""
        if self._latest is not None:
            place, frames = self._latest
            self._latest = None
            for t in frames:
                self._note_painted(layer, place, t)

    def _note_painted(self, layer: Labels, place: Place, t: int) -> None:
        """Let what has changed on a frame belong to it and, if negative, to the current object."""
        labels = take_frame(layer, place.snapshot, t).data
        nothing = PaintedFrame.empty(labels)
        noted = self._noted.get(t, nothing)
        # Without time, what was painted on other frames lies there as well.
        others = {f: each for f, each in self._noted.items() if f != t and layer.ndim == 2}
        changed = labels != sum((each.labels for each in others.values()), noted.labels)
        if not changed.any():
            return
        beside = np.where(labels == negative_label(layer), np.uint16(place.object_id), np.uint16(0))
        self._noted[t] = noted.painted(changed, labels, beside)
        for f, each in others.items():
            if each.labels[changed].any():
                self._noted[f] = each.painted(changed, nothing.labels, nothing.beside)


def _read(
    layer: Shapes | Points, place: Place, indices: Collection[int]
) -> dict[int, FrameDrawing]:
    if isinstance(layer, Shapes):
        return read_shapes(layer, place, only=indices)
    return read_points(layer, place, only=indices)


def _keys_of(layer: Shapes | Points) -> list[tuple[Where, Hashable]]:
    """Return what tells each shape or point from others: where it is, and what it says."""
    features = layer.features
    columns = [features[name].tolist() for name in (OBJECT, POSITIVE) if name in features]
    if isinstance(layer, Shapes):
        columns += [list(layer.shape_type), list(layer.edge_width)]
    n_same: Counter[bytes] = Counter()
    keys: list[tuple[Where, Hashable]] = []
    for index, data in enumerate(layer.data):
        geometry = np.asarray(data).tobytes()
        said = tuple(str(column[index]) for column in columns)
        keys.append(((geometry, n_same[geometry]), said))
        n_same[geometry] += 1
    return keys


def negative_label(layer: Labels) -> int:
    """Return the label whose strokes lie on what is no part of the current object."""
    return min(MAX_OBJECT_ID, int(np.iinfo(layer.dtype).max))

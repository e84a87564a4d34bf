"""What is drawn on a layer, and which of it has become masks already. Main thread only."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from napari.layers import Labels, Points, Shapes

from napari_vos._napari.drawing import (
    OBJECT,
    POSITIVE,
    FrameDrawing,
    read_points,
    read_scribbles,
    read_shapes,
)
from napari_vos._napari.snapshot import UserFrames, take_prompts
from napari_vos.errors import PromptError
from napari_vos.prompts import MAX_OBJECT_ID

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_vos._napari.drawing import Place

DrawingLayer: TypeAlias = "Shapes | Points | Labels"


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
        (Y, X) the strokes of a labels layer, by frame.
    """

    drawings: dict[int, FrameDrawing]
    keys: frozenset[Hashable] = frozenset()
    painted: Mapping[int, NDArray[np.generic]] = field(default_factory=dict)


class Strokes:
    """Reads what is new on a layer.

    Parameters
    ----------
    layer
        Shapes, points, or labels on which strokes are painted.
    """

    def __init__(self, layer: DrawingLayer) -> None:
        self.layer = layer
        self._keys: set[Hashable] = set()
        self._painted: dict[int, NDArray[np.generic]] = {}

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

    def read(self, place: Place, viewer: ViewerModel, *, again: bool) -> Taken | None:
        """Return what is new; None if nothing is.

        Of a labels layer it is what is new on the frame in view.

        Parameters
        ----------
        place
            Where the strokes lie in the images.
        viewer
            The window.
        again
            If nothing is new, all that is drawn on the frame in view is taken.

        Raises
        ------
        PromptError
            If anything can't be used.
        """
        if isinstance(self.layer, Labels):
            return self._read_painted(self.layer, place, viewer, again=again)
        keys = _keys_of(self.layer)
        new = [index for index, key in enumerate(keys) if key not in self._keys]
        if new:
            return Taken(_read(self.layer, place, new), frozenset(keys))
        drawings = _read(self.layer, place, range(len(keys))) if again else {}
        if place.shown not in drawings:
            return None
        return Taken({place.shown: drawings[place.shown]})

    def keep(self, taken: Taken) -> None:
        """Remember that what was taken isn't new any more."""
        self._keys |= taken.keys
        self._painted.update(taken.painted)

    def _read_painted(
        self, layer: Labels, place: Place, viewer: ViewerModel, *, again: bool
    ) -> Taken | None:
        snapshot = take_prompts(layer, place.snapshot, viewer, UserFrames.SHOWN)
        if snapshot.is_result:
            raise PromptError(
                f"'{layer.name}' shows results: what is painted there is taken for whole masks. "
                "Press 'New scribbles' and draw on that layer."
            )
        (t,) = snapshot.frames or (0,)
        now = np.asarray(snapshot.data)
        before = self._painted.get(t)
        new = now if before is None else np.where(now != before, now, 0)
        if not new.any():
            if not again or not now.any():
                return None
            new = now
        strokes = replace(snapshot, data=new)
        drawings = read_scribbles(strokes, place.object_id, negative_label=negative_label(layer))
        return Taken(drawings, painted={t: now})


def _read(
    layer: Shapes | Points, place: Place, indices: Collection[int]
) -> dict[int, FrameDrawing]:
    if isinstance(layer, Shapes):
        return read_shapes(layer, place, only=indices)
    return read_points(layer, place, only=indices)


def _keys_of(layer: Shapes | Points) -> list[Hashable]:
    """Return what tells each shape or point from others: geometry and what it says."""
    features = layer.features
    columns = [features[name].tolist() for name in (OBJECT, POSITIVE) if name in features]
    if isinstance(layer, Shapes):
        columns += [list(layer.shape_type), list(layer.edge_width)]
    geometry = [np.asarray(data).tobytes() for data in layer.data]
    return [tuple(map(str, key)) for key in zip(geometry, *columns, strict=True)]


def negative_label(layer: Labels) -> int:
    """Return the label whose strokes lie on what is no part of the current object."""
    return min(MAX_OBJECT_ID, int(np.iinfo(layer.dtype).max))

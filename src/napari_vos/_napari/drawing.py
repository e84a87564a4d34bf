"""What is drawn in shapes, points and labels layers, as prompts.

Taken on the main thread and free of any layer. Coordinates go through the world
to the pixels of the images, whatever scale and place the layers have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.draw import polygon2mask

from napari_vos.errors import PromptError
from napari_vos.prompts import (
    MAX_OBJECT_ID,
    MaskPrompt,
    box_prompt,
    mask_prompt,
    painted_scribbles,
    point_prompt,
    scribble_prompt,
)

if TYPE_CHECKING:
    from napari.layers import Image, Points, Shapes
    from numpy.typing import NDArray

    from napari_vos._napari.snapshot import ImageSnapshot
    from napari_vos.prompts import DrawnPrompt

OBJECT, POSITIVE = "object_id", "positive"
"""Features of shapes and points that say whose they are, and whether they lie on it."""


@dataclass(frozen=True, eq=False)
class FrameDrawing:
    """What a layer says of one frame.

    Attributes
    ----------
    masks
        What is said with whole masks, for `Session.add_mask`; None if nothing.
    prompts
        What is said roughly, for `Session.draw`.
    """

    masks: MaskPrompt | None
    prompts: tuple[DrawnPrompt, ...]

    def then(self, later: FrameDrawing) -> FrameDrawing:
        """Return this and what is said of the same frame later; later masks win."""
        masks = later.masks or self.masks
        if self.masks is not None and later.masks is not None:
            labels = np.where(later.masks.labels, later.masks.labels, self.masks.labels)
            masks = mask_prompt(self.masks.t, labels)
        return FrameDrawing(masks, self.prompts + later.prompts)


@dataclass(frozen=True)
class Place:
    """Where drawn coordinates lie in the images, and whose they are if features don't tell.

    Attributes
    ----------
    image
        The image layer.
    snapshot
        What was taken of it.
    shown
        The frame in view, for layers without time; None if it can't be told.
    object_id
        The current object.
    """

    image: Image
    snapshot: ImageSnapshot
    shown: int | None
    object_id: int

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) of a frame."""
        rows, columns = (self.snapshot.shape[self.snapshot.letters.index(axis)] for axis in "YX")
        return rows, columns

    def has_time(self, layer: Shapes | Points) -> bool:
        """Return whether a layer tells on which frame its shapes or points are."""
        return bool(layer.ndim >= self.image.ndim - self.snapshot.letters.index("T"))

    def pixels(
        self, layer: Shapes | Points, vertices: NDArray[Any], what: str
    ) -> tuple[int, NDArray[np.float64]]:
        """Return the frame of vertices, and their (N, 2) coordinates in pixels.

        Raises
        ------
        PromptError
            If they lie on several frames, outside of the movie, or the frame can't
            be told.
        """
        n_dims = self.image.ndim
        points = []
        for vertex in vertices:
            world = tuple(layer.data_to_world(vertex))[-n_dims:]
            points.append(self.image.world_to_data((0.0,) * (n_dims - len(world)) + world))
        found = np.array(points)
        time = self.snapshot.letters.index("T")
        n_frames = self.snapshot.shape[time]
        if self.has_time(layer):
            frames = {round(float(t)) for t in found[:, time]}
        elif self.shown is not None:
            frames = {self.shown}
        else:
            raise PromptError(
                f"'{layer.name}' has no time axis, and the frame in view can't be told. Go back to "
                "the 2-D view of rows and columns."
            )
        if len(frames) > 1 or not 0 <= min(frames) < n_frames:
            told = "-".join(map(str, sorted({min(frames), max(frames)})))
            raise PromptError(
                f"{what} of '{layer.name}' is on frame {told}; expected one frame of "
                f"'{self.snapshot.name}' (0-{n_frames - 1}). Draw it on a frame of the images."
            )
        axes = [self.snapshot.letters.index(axis) for axis in "YX"]
        return frames.pop(), found[:, axes]


def read_shapes(
    layer: Shapes, place: Place, *, only: Collection[int] | None = None
) -> dict[int, FrameDrawing]:
    """Return what is drawn in a shapes layer, by frame; of all shapes, or `only` some.

    Polygons and ellipses are masks, rectangles boxes, paths and lines scribbles of
    their width. Later masks win. A negative polygon or ellipse is a negative
    scribble that fills it.

    Raises
    ------
    PromptError
        If a shape can't be used; the message names it.
    """
    masks: dict[int, NDArray[np.int64]] = {}
    drawn: dict[int, list[DrawnPrompt]] = {}
    kinds, widths = list(layer.shape_type), list(layer.edge_width)
    for index, object_id, positive in _said(layer, place, only):
        what = f"Shape {index}"
        t, points = place.pixels(layer, np.asarray(layer.data[index]), what)
        prompts = drawn.setdefault(t, [])
        match str(kinds[index]):
            case "path" | "line":
                width = max(1.0, widths[index] * _ratio(layer, place))
                prompts.append(
                    scribble_prompt(t, object_id, points, width=width, positive=positive)
                )
            case "rectangle" if positive:
                corners = (*points.min(axis=0), *points.max(axis=0))
                prompts.append(box_prompt(t, object_id, corners))
            case "rectangle":
                raise PromptError(
                    f"{what} of '{layer.name}' is a negative rectangle; a box says where an object "
                    "is. Draw a polygon or a path for what is no part of it."
                )
            case kind:
                fill = _ellipse if kind == "ellipse" else polygon2mask
                mask = fill(place.shape, points)
                if not mask.any():
                    raise PromptError(
                        f"{what} of '{layer.name}' holds no pixel of '{place.snapshot.name}'. Draw "
                        "it inside the image."
                    )
                if positive:
                    labels = masks.setdefault(t, np.zeros(place.shape, np.int64))
                    labels[mask] = object_id
                else:
                    prompts += painted_scribbles(t, mask.astype(int), negative={1: object_id})
    return _by_frame(masks, drawn)


def read_points(
    layer: Points, place: Place, *, only: Collection[int] | None = None
) -> dict[int, FrameDrawing]:
    """Return the clicks of a points layer, by frame; all, or `only` some.

    Raises
    ------
    PromptError
        If a point can't be used; the message names it.
    """
    drawn: dict[int, list[DrawnPrompt]] = {}
    for index, object_id, positive in _said(layer, place, only):
        t, points = place.pixels(layer, np.asarray(layer.data[index])[None], f"Point {index}")
        drawn.setdefault(t, []).append(point_prompt(t, object_id, points, positive=positive))
    return _by_frame({}, drawn)


def combine(drawings: Iterable[Mapping[int, FrameDrawing]]) -> dict[int, FrameDrawing]:
    """Return by frame what several layers say; later masks win."""
    found: dict[int, FrameDrawing] = {}
    for each in drawings:
        for t, drawing in each.items():
            found[t] = found[t].then(drawing) if t in found else drawing
    return dict(sorted(found.items()))


def _said(
    layer: Shapes | Points, place: Place, only: Collection[int] | None
) -> Iterator[tuple[int, int, bool]]:
    """Yield the number of each shape or point, its object, and whether it lies on it."""
    features = layer.features
    for index in range(len(layer.data)) if only is None else sorted(only):
        object_id: Any = place.object_id
        if OBJECT in features:
            object_id = features[OBJECT].iloc[index]
        if object_id not in range(1, MAX_OBJECT_ID + 1):
            raise PromptError(
                f"Number {index} of '{layer.name}' has the {OBJECT} {object_id}; expected an id "
                f"from 1 to {MAX_OBJECT_ID}."
            )
        positive: Any = features[POSITIVE].iloc[index] if POSITIVE in features else True
        if positive not in (True, False):
            raise PromptError(
                f"Number {index} of '{layer.name}' has the feature {POSITIVE} {positive}; "
                "expected True or False."
            )
        yield index, int(object_id), bool(positive)


def _ratio(layer: Shapes, place: Place) -> float:
    """Return how many pixels of the images one of the layer covers."""
    return float(abs(layer.scale[-1] / place.image.scale[-1]))


def _ellipse(shape: tuple[int, int], corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the pixels inside the ellipse that fills a rectangle with these four corners."""
    center = corners.mean(axis=0)
    halves = np.stack([(corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2], axis=1)
    if abs(np.linalg.det(halves)) < 1e-9:
        return np.zeros(shape, np.bool_)
    rows, columns = np.indices(shape)
    offsets = np.stack([rows - center[0], columns - center[1]])
    inside: NDArray[np.bool_] = (np.einsum("ij,jyx->iyx", np.linalg.inv(halves), offsets) ** 2).sum(
        axis=0
    ) <= 1
    return inside


def _by_frame(
    masks: dict[int, NDArray[np.int64]], drawn: dict[int, list[DrawnPrompt]]
) -> dict[int, FrameDrawing]:
    return {
        t: FrameDrawing(mask_prompt(t, masks[t]) if t in masks else None, tuple(drawn.get(t, ())))
        for t in sorted(masks.keys() | drawn.keys())
    }

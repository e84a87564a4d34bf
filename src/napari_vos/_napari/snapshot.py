"""What the user has chosen, taken from the layers before a run.

Taken on the main thread, frozen, and free of any layer: the worker never sees one.
Arrays are referred to; the worker copies the painted frames before all else. Only
the frame in view is copied here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_vos._napari.alignment import check_alignment
from napari_vos.errors import FramesError, PromptError
from napari_vos.frames import FrameStack
from napari_vos.frames.axes import find_layout

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels
    from numpy.typing import NDArray

METADATA = "napari_vos"
"""Key of a layer's metadata under which a session is noted."""

AXES = "axes"
"""Key therein of one letter per dimension of the results; TYX without it."""

WRITTEN = "written"
"""Key that is therein while a worker writes the results."""


class UserFrames(StrEnum):
    """Which frames of a labels layer count as the user's."""

    PAINTED = "all painted frames"
    SHOWN = "this frame"
    DRAWN = "what is drawn"


@dataclass(frozen=True, eq=False)
class ImageSnapshot:
    """An image layer.

    Attributes
    ----------
    name
        The layer's.
    data
        Its array, or the levels of a multiscale one.
    axes
        One letter per dimension of the array, as the layer tells them; None to infer them.
    letters
        The same for the layer's own dimensions, without colour; "-" if not needed.
    shape
        The layer's, without colour.
    placement
        Scale, translate, units and all else that says where the layer lies, as
        a layer's constructor takes them.
    path
        The file it was read from; None if that isn't known.
    """

    name: str
    data: Any
    axes: str | None
    letters: str
    shape: tuple[int, ...]
    placement: dict[str, Any]
    path: Path | None

    def is_same(self, other: ImageSnapshot) -> bool:
        """Return whether both show the very same array."""
        return _largest(self.data) is _largest(other.data)

    def open(self, channels: Sequence[int] | None = None) -> FrameStack:
        """Return the images as a stack, with the channels that networks are to see."""
        return FrameStack(
            self.data, axes=self.axes, channels=channels, name=self.name, path=self.path
        )


@dataclass(frozen=True, eq=False)
class PromptSnapshot:
    """A labels layer.

    Attributes
    ----------
    name
        The layer's.
    data
        Its array, (T, Y, X) or with the axes of the image; or one frame (Y, X).
    frames
        The frames of `data`; None for all.
    letters
        One letter per dimension of `data`.
    is_result
        Whether the layer shows a session's own results.
    """

    name: str
    data: Any
    frames: tuple[int, ...] | None
    letters: str
    is_result: bool

    def painted(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the frames that aren't empty, with a copy of their (Y, X) labels.

        Raises
        ------
        PromptError
            If all are.
        """
        if "T" not in self.letters:
            found = iter([(t, np.asarray(self.data)) for t in self.frames or ()])
        else:
            n_frames = self.data.shape[self.letters.index("T")]
            chosen = range(n_frames) if self.frames is None else self.frames
            found = ((t, read_frame(self.data, self.letters, t)) for t in chosen)
        is_empty = True
        for t, labels in found:
            if labels.any():
                is_empty = False
                yield t, labels.copy()
        if is_empty:
            where = "" if self.frames is None else f" on frame {self.frames[0]}"
            raise PromptError(
                f"The labels layer '{self.name}' is empty{where}. Paint at least one object, "
                "or choose the frame or layer that has been painted."
            )


def take_image(layer: Image | None) -> ImageSnapshot:
    """Return an image layer's snapshot.

    Raises
    ------
    FramesError
        If there is no layer, or it is no time-lapse.
    """
    if layer is None:
        raise FramesError(
            "No image layer is chosen. Open a time-lapse (T, Y, X), or take one from "
            "File > Open Sample > Video Object Segmentation."
        )
    data: Any = list(layer.data) if layer.multiscale else layer.data
    shape = tuple(int(n) for n in (data[0] if layer.multiscale else data).shape)
    axes = _named_axes(layer)
    layout = find_layout(shape, axes, layer.name)
    letters = layout.letters[: layer.ndim]
    order = [letter for letter in letters if letter in "TYX"]
    if order != ["T", "Y", "X"]:
        raise FramesError(
            f"The axes of '{layer.name}' are in the order {letters}; expected time before rows "
            "and columns. Transpose the array, or correct the layer's axis labels."
        )
    placement = {
        "scale": tuple(layer.scale),
        "translate": tuple(layer.translate),
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": np.asarray(layer.affine),
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }
    source = layer.source.path
    path = Path(source).absolute() if source else None
    return ImageSnapshot(layer.name, data, axes, letters, shape[: layer.ndim], placement, path)


def take_prompts(
    layer: Labels | None, image: ImageSnapshot, viewer: ViewerModel, user_frames: UserFrames
) -> PromptSnapshot:
    """Return a labels layer's snapshot.

    Raises
    ------
    PromptError
        If there is no layer, it doesn't fit the images, or the frame is needed
        and can't be told.
    """
    if layer is None:
        raise PromptError(
            "No labels layer is chosen. Press 'New labels', paint the objects of one frame, "
            "and propagate."
        )
    letters = labels_axes(layer, image)
    if "T" not in letters or user_frames is not UserFrames.PAINTED:
        return take_frame(layer, image, check_frame(image, shown_frame(image, viewer)))
    if METADATA in layer.metadata:
        raise PromptError(
            f"'{layer.name}' holds results on all its frames. To correct one, show it, paint, "
            f"and choose '{UserFrames.SHOWN}'; or choose the layer you have painted."
        )
    return PromptSnapshot(layer.name, _largest_of(layer), None, letters, is_result=False)


def take_frame(layer: Labels, image: ImageSnapshot, t: int) -> PromptSnapshot:
    """Return the snapshot of one frame of a labels layer.

    Raises
    ------
    PromptError
        If the layer doesn't fit the images.
    """
    frame = read_frame(_largest_of(layer), labels_axes(layer, image), t).copy()
    return PromptSnapshot(layer.name, frame, (t,), "YX", METADATA in layer.metadata)


def labels_axes(layer: Labels, image: ImageSnapshot) -> str:
    """Return one letter per dimension of a labels layer that lies on the images.

    Raises
    ------
    PromptError
        If it has another size, or lies elsewhere.
    """
    n_frames, rows, columns = (image.shape[image.letters.index(axis)] for axis in "TYX")
    shape = tuple(int(n) for n in _largest_of(layer).shape)
    letters = {
        image.shape: image.letters,
        (n_frames, rows, columns): "TYX",
        (rows, columns): "YX",
    }.get(shape)
    if letters is None:
        raise PromptError(
            f"The labels layer '{layer.name}' has shape {shape}; the images '{image.name}' have "
            f"{image.shape}. Paint on a layer of the same size: press 'New labels'."
        )
    check_alignment(layer, letters, image)
    return letters


def read_frame(data: Any, letters: str, t: int) -> NDArray[Any]:
    """Return the (Y, X) labels of a frame from an array with one letter per dimension."""
    index = tuple(t if letter == "T" else slice(None) for letter in letters)
    frame = np.asarray(data[index])
    if frame.ndim > 2:
        # What was painted while one channel was shown is meant for all.
        rest = letters.replace("T", "")
        others = tuple(i for i, letter in enumerate(rest) if letter not in "YX")
        frame = frame.max(axis=others)
    return frame


def shown_frame(image: ImageSnapshot, viewer: ViewerModel) -> int | None:
    """Return the frame in view; None if time is one of the axes that are spread out."""
    time_axis = image.letters.index("T")
    n_dims = len(image.letters)
    axis = viewer.dims.ndim - n_dims + time_axis
    if axis < 0 or axis in viewer.dims.displayed:
        return None
    point = viewer.dims.point[axis]
    t = (point - image.placement["translate"][time_axis]) / image.placement["scale"][time_axis]
    return round(float(t))


def check_frame(image: ImageSnapshot, t: int | None) -> int:
    """Return the frame in view, if it is one of the images'.

    Raises
    ------
    PromptError
        If it isn't, or can't be told.
    """
    n_frames = image.shape[image.letters.index("T")]
    if t is None:
        raise PromptError(
            "The view shows time as a picture axis, so 'this frame' can't be told. Go back to the "
            f"2-D view of rows and columns, or choose '{UserFrames.PAINTED}'."
        )
    if not 0 <= t < n_frames:
        raise PromptError(
            f"Frame {t} in view is outside '{image.name}' (0-{n_frames - 1}). Move the slider to "
            "one of its frames."
        )
    return t


def show_frame(image: ImageSnapshot, viewer: ViewerModel, t: int) -> None:
    """Move the view to a frame."""
    time_axis = image.letters.index("T")
    scale, translate = (image.placement[key][time_axis] for key in ("scale", "translate"))
    axis = viewer.dims.ndim - len(image.letters) + time_axis
    viewer.dims.set_point(axis, t * scale + translate)


def _largest(data: Any) -> Any:
    return data[0] if isinstance(data, list) else data


def _largest_of(layer: Labels) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def _named_axes(layer: Image) -> str | None:
    """Return the axes as the layer's labels or its colour tell them; None if they don't."""
    letters = "".join(str(label)[:1].upper() for label in layer.axis_labels)
    is_told = set("TYX") <= set(letters) <= set("TCZYX") and len(set(letters)) == len(letters)
    if is_told:
        return letters + "S" if layer.rgb else letters
    if layer.rgb and layer.ndim == 3:
        return "TYXS"
    return "TYX" if layer.ndim == 3 else None

"""Refining a labels layer: what is read in a worker, and how its changes are shown and made."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_vos._napari.alignment import check_alignment
from napari_vos._napari.snapshot import read_frame, shown_frame
from napari_vos.errors import FramesError
from napari_vos.session.refinement import refine_labels

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_vos._napari.snapshot import ImageSnapshot
    from napari_vos.configs import RefinementConfig


@dataclass(frozen=True)
class RefinementOptions:
    """How to refine, as `refine_labels` takes it."""

    object_ids: frozenset[int] | None
    config: RefinementConfig
    weights: Path | None
    device: str


@dataclass(frozen=True, eq=False)
class LabelsSnapshot:
    """A labels layer, as a lazy (T, Y, X) stack: `stack[t]` copies the labels of a frame.

    Attributes
    ----------
    name
        The layer's.
    data
        Its array.
    letters
        One letter per dimension of `data`.
    shape
        (T, Y, X) of the images.
    frames
        The frames it holds.
    """

    name: str
    data: Any
    letters: str
    shape: tuple[int, int, int]
    frames: range

    @property
    def dtype(self) -> Any:
        """Type of the labels."""
        return self.data.dtype

    def __getitem__(self, t: int) -> NDArray[Any]:
        return read_frame(self.data, self.letters, t).copy()


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels of an array whose labels change.

    Attributes
    ----------
    index
        (M,) int64 for each dimension of the array.
    before, after
        (M,) uint16.
    """

    index: tuple[NDArray[np.int64], ...]
    before: NDArray[np.uint16]
    after: NDArray[np.uint16]

    @classmethod
    def join(cls, parts: Sequence[Pixels]) -> Pixels:
        """Return all pixels of one or more parts."""
        index = tuple(np.concatenate(axis) for axis in zip(*(p.index for p in parts), strict=True))
        before, after = (
            np.concatenate([getattr(part, side) for part in parts]) for side in ("before", "after")
        )
        return cls(index, before, after)

    def chosen(self, where: NDArray[np.bool_]) -> Pixels:
        """Return those of them where (M,) is true."""
        index = tuple(axis[where] for axis in self.index)
        return Pixels(index, self.before[where], self.after[where])

    @property
    def reversed(self) -> Pixels:
        """The change back."""
        return Pixels(self.index, self.after, self.before)


@dataclass(frozen=True, eq=False)
class Changes:
    """The pixels that refinement changes on a frame.

    Attributes
    ----------
    t
        The frame.
    rows, columns
        (N,) int64, where.
    before, after
        (N,) uint16, the labels there.
    n_objects
        How many objects were refined.
    """

    t: int
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    before: NDArray[np.uint16]
    after: NDArray[np.uint16]
    n_objects: int

    def within(self, letters: str, shape: tuple[int, ...]) -> Pixels:
        """Return these pixels of an array with one letter per dimension.

        M is N for each place along axes that aren't T, Y or X.
        """
        own = {"T": np.full_like(self.rows, self.t), "Y": self.rows, "X": self.columns}
        others = [n for n, letter in zip(shape, letters, strict=True) if letter not in own]
        places = list(np.ndindex(*others))
        rest = iter(zip(*places, strict=True))
        index = tuple(
            np.tile(own[letter], len(places))
            if letter in own
            else np.repeat(next(rest), len(self.rows))
            for letter in letters
        )
        return Pixels(index, np.tile(self.before, len(places)), np.tile(self.after, len(places)))


def take_labels(layer: Labels | None, image: ImageSnapshot, viewer: ViewerModel) -> LabelsSnapshot:
    """Return a labels layer's snapshot.

    Raises
    ------
    FramesError
        If there is no layer, it doesn't fit the images, or can't be changed.
    PromptError
        If it doesn't lie on them.
    """
    if layer is None:
        raise FramesError("No labels layer is chosen. Choose the one whose borders to refine.")
    n_frames, rows, columns = (image.shape[image.letters.index(axis)] for axis in "TYX")
    if layer.multiscale:
        raise FramesError(
            f"'{layer.name}' holds several scales, which can't be painted. Make a layer of its "
            "largest one."
        )
    shape = tuple(int(n) for n in layer.data.shape)
    letters = {
        image.shape: image.letters,
        (n_frames, rows, columns): "TYX",
        (rows, columns): "YX",
    }.get(shape)
    if letters is None:
        raise FramesError(
            f"The labels layer '{layer.name}' has shape {shape}; the images '{image.name}' have "
            f"{image.shape}. Choose labels and images of the same frames and size."
        )
    check_alignment(layer, letters, image)
    if not _is_writeable(layer.data):
        raise FramesError(
            f"The array of '{layer.name}' can't be written. Make a layer of a copy of it in "
            "memory: numpy.array(layer.data)."
        )
    frames = range(n_frames)
    if "T" not in letters:
        t = shown_frame(image, viewer)
        if t is None or t not in frames:
            raise FramesError(
                f"'{layer.name}' is a single frame, and which one of '{image.name}' it belongs to "
                "can't be told. Move the slider to that frame."
            )
        frames = range(t, t + 1)
    return LabelsSnapshot(layer.name, layer.data, letters, (n_frames, rows, columns), frames)


def _is_writeable(data: Any) -> bool:
    if isinstance(data, np.ndarray):
        return data.flags.writeable
    return type(data).__module__.partition(".")[0] != "dask" and hasattr(data, "__setitem__")


def find_changes(
    image: ImageSnapshot, labels: LabelsSnapshot, frames: Iterable[int], options: RefinementOptions
) -> Generator[Changes]:
    """Yield what refinement changes on each frame. For a worker.

    Raises
    ------
    FramesError
        If no object is there to refine.
    NapariVosError
        If images, weights or device can't be used.
    """
    refined = refine_labels(
        image.open(),
        labels,
        object_ids=options.object_ids,
        config=options.config,
        weights=options.weights,
        device=options.device,
    )
    n_objects = 0
    for t in frames:
        before = labels[t]
        ids = set(np.unique(before).tolist()) - {0}
        chosen = ids if options.object_ids is None else ids & options.object_ids
        n_objects += len(chosen)
        if not chosen:
            continue
        after = refined.refine(t, before)
        rows, columns = np.nonzero(after != before)
        found = before[rows, columns].astype(np.uint16), after[rows, columns]
        yield Changes(t, rows, columns, *found, n_objects=len(chosen))
    if not n_objects:
        what = "an object" if options.object_ids is None else "any of the chosen objects"
        raise FramesError(
            f"'{labels.name}' doesn't hold {what} on the chosen frames. Choose others, or paint "
            "objects first."
        )

"""Which dimension of an array is time, channel, row and column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_vos.errors import FramesError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_vos.frames.arrays import Index

_MAX_INFERRED_CHANNELS = 4
_COLOUR_SAMPLES = (3, 4)
_DROPPED = "-"


@dataclass(frozen=True)
class Layout:
    """Where the frames of an array lie.

    Attributes
    ----------
    letters
        One letter of T, C, Y, X per dimension of the array; "-" for one of
        length 1 that isn't needed.
    n_frames
        Length of T.
    n_channels
        Length of C, 1 without it.
    shape
        (Y, X).
    """

    letters: str
    n_frames: int
    n_channels: int
    shape: tuple[int, int]

    @property
    def axes(self) -> str:
        """The axes in the order of the array, such as "TYX", "TCYX" or "TYXC"."""
        return self.letters.replace(_DROPPED, "")

    def index(self, t: int) -> Index:
        """Return the index of frame `t` into the array."""
        places: dict[str, int] = {"T": t, _DROPPED: 0}
        return tuple(places.get(letter, slice(None)) for letter in self.letters)

    def arrange(self, block: NDArray[Any]) -> NDArray[np.generic]:
        """Return what the array holds at `index(t)` as (C, Y, X)."""
        rest = self.axes.replace("T", "")
        arranged = block.transpose([rest.index(letter) for letter in "CYX" if letter in rest])
        return arranged if "C" in rest else arranged[None]

    def block_shape(self) -> tuple[int, ...]:
        """Return the shape of what the array holds at `index(t)`."""
        lengths = {"C": self.n_channels, "Y": self.shape[0], "X": self.shape[1]}
        return tuple(lengths[letter] for letter in self.axes if letter != "T")


def find_layout(shape: tuple[int, ...], axes: str | None, name: str) -> Layout:
    """Find out where the frames lie.

    Parameters
    ----------
    shape
        Shape of the array.
    axes
        One letter per dimension, in the order of the array: T time, C or S
        channel, Z plane, Y row, X column. None to infer them from `shape`.
    name
        What the stack is called in messages.

    Raises
    ------
    FramesError
        If the axes can't be told, don't fit the shape, lack time, or hold
        planes; or if there is no frame.
    """
    if axes is None:
        axes = _infer(shape, name)
    letters = _checked(axes, shape, name)
    lengths = dict(zip(letters, shape, strict=True))
    if lengths["T"] == 0:
        raise FramesError(f"'{name}' holds no frames: its shape is {shape} ({axes}).")
    if 0 in shape:
        raise FramesError(f"The frames of '{name}' have no pixels: its shape is {shape} ({axes}).")
    return Layout(letters, lengths["T"], lengths.get("C", 1), (lengths["Y"], lengths["X"]))


def _checked(axes: str, shape: tuple[int, ...], name: str) -> str:
    letters = axes.upper()
    if len(letters) != len(shape):
        raise FramesError(
            f"The axes '{axes}' name {len(letters)} dimensions, but '{name}' has {len(shape)}: "
            f"its shape is {shape}. Name one letter per dimension, such as '{_example(shape)}'."
        )
    unknown = set(letters) - set("TCSZYX")
    if unknown or len(set(letters)) < len(letters):
        raise FramesError(
            f"The axes '{axes}' of '{name}' can't be understood; expected each at most once: "
            "T time, C channel (S if it is colour), Z plane, Y row, X column."
        )
    lengths = dict(zip(letters, shape, strict=True))
    if "Y" not in lengths or "X" not in lengths:
        raise FramesError(f"The axes '{axes}' of '{name}' lack Y or X; expected for example 'TYX'.")
    if lengths.get("Z", 1) != 1:
        raise FramesError(
            f"'{name}' has {lengths['Z']} planes in Z (axes '{axes}', shape {shape}); expected "
            "one image per time point. Pick a plane (images[:, z]) or project "
            "(images.max(axis=1)). If Z is really time or channel, name the axes, for example "
            "axes='TYX'."
        )
    if "T" not in lengths:
        raise FramesError(
            f"'{name}' has no time axis (axes '{axes}', shape {shape}); expected a stack of "
            "frames, for example 'TYX'."
        )
    if lengths.get("C", 1) != 1 and lengths.get("S", 1) != 1:
        raise FramesError(
            f"'{name}' has channels and colour at once (axes '{axes}', shape {shape}). "
            "Pick a channel first."
        )
    return "".join(
        _DROPPED if letter not in "TYX" and length == 1 else letter.replace("S", "C")
        for letter, length in zip(letters, shape, strict=True)
    )


def _example(shape: tuple[int, ...]) -> str:
    return {3: "TYX", 4: "TCYX", 5: "TCZYX"}.get(len(shape), "TYX")


def _infer(shape: tuple[int, ...], name: str) -> str:
    colour = len(shape) > 2 and shape[-1] in _COLOUR_SAMPLES
    if len(shape) == 2 or (len(shape) == 3 and colour):
        hint = " If its first dimension is time, say so with axes='TYX'." if colour else ""
        raise FramesError(
            f"'{name}' looks like a single image: its shape is {shape}. Expected a stack of "
            f"frames (T, Y, X).{hint}"
        )
    if len(shape) == 3:
        return "TYX"
    if len(shape) == 4:
        channels = shape[1] <= _MAX_INFERRED_CHANNELS
        if colour != channels:
            return "TYXC" if colour else "TCYX"
    raise FramesError(
        f"Can't tell the axes of '{name}' from its shape {shape}. Name them, for example "
        "axes='TCYX' if the second one is channels or axes='TYXC' for colour. Of a stack "
        "with planes pick one (images[:, z]) or project it (images.max(axis=1))."
    )

"""Label images of a time-lapse, checked frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_vos.errors import FramesError
from napari_vos.prompts import MAX_OBJECT_ID

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.frames import FrameStack


class LabelStack:
    """A lazy (T, Y, X) stack of uint16 labels; `stack[t]` reads frame t.

    Parameters
    ----------
    frames
        The stack as it is stored.

    Raises
    ------
    FramesError
        If it holds floats or several channels.
    """

    def __init__(self, frames: FrameStack) -> None:
        if frames.n_channels != 1:
            raise FramesError(
                f"'{frames.name}' has {frames.n_channels} channels; expected labels (T, Y, X). "
                "If these are coloured masks, save the object ids instead of the colours."
            )
        if frames.dtype.kind == "f":
            raise FramesError(
                f"'{frames.name}' holds {frames.dtype} numbers; expected integer labels. "
                "Convert the images to 16 bit first."
            )
        self._frames = frames

    @property
    def name(self) -> str:
        """What the stack is called in messages."""
        return self._frames.name

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, Y, X)."""
        return (self._frames.n_frames, *self._frames.shape)

    @property
    def ndim(self) -> int:
        """Always 3."""
        return 3

    @property
    def dtype(self) -> np.dtype[np.uint16]:
        """Always uint16, however the labels are stored."""
        return np.dtype(np.uint16)

    def __len__(self) -> int:
        return self._frames.n_frames

    def __getitem__(self, t: int) -> NDArray[np.uint16]:
        return check_labels(self._frames.read(t)[0], t, self.name)

    def __iter__(self) -> Iterator[NDArray[np.uint16]]:
        return (self[t] for t in range(len(self)))

    def non_empty_frames(self) -> list[int]:
        """Return the frames that hold at least one object, reading one at a time.

        Raises
        ------
        FramesError
            If a frame can't be read or holds what can't be an object id.
        """
        return [t for t, labels in enumerate(self) if labels.any()]


def check_labels(labels: NDArray[Any], t: int, name: str) -> NDArray[np.uint16]:
    """Return the labels of a frame as uint16.

    Parameters
    ----------
    labels
        (Y, X), any dtype.
    t
        Frame index, for messages.
    name
        What the stack is called in messages.

    Raises
    ------
    FramesError
        If `labels` holds floats, negative values, or ids above 65535.
    """
    if labels.dtype.kind not in "bui":
        raise FramesError(
            f"Frame {t} of '{name}' holds {labels.dtype} numbers; expected integer labels."
        )
    if labels.dtype.kind == "i" and (lowest := int(labels.min(initial=0))) < 0:
        raise FramesError(
            f"Frame {t} of '{name}' holds the negative label {lowest}; "
            "expected 0 for background and object ids from 1."
        )
    if labels.dtype.itemsize > 2 and (highest := int(labels.max(initial=0))) > MAX_OBJECT_ID:
        raise FramesError(
            f"Frame {t} of '{name}' holds the object id {highest}; the largest one possible "
            f"is {MAX_OBJECT_ID}. Give this object a smaller id."
        )
    return labels.astype(np.uint16, copy=False)

"""A time-lapse seen at a fraction of its scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_vos.frames.stack import FrameStack

if TYPE_CHECKING:
    from numpy.typing import NDArray


def reduce_frames(frames: FrameStack, scale: int) -> FrameStack:
    """Return a stack whose pixels are means of `scale` x `scale` pixels.

    Parameters
    ----------
    frames
        The stack; it is read when the other one is.
    scale
        Side of a cell in pixels. Cells that reach beyond the frame repeat its
        outermost pixels.

    Returns
    -------
    FrameStack
        (T, C, ⌈Y / scale⌉, ⌈X / scale⌉), of the same dtype and channels.
    """
    images = ReducedImages(frames, scale)
    return FrameStack(images, axes="TCYX", channels=frames.channels, name=frames.name)


class ReducedImages:
    """A lazy (T, C, h, w) array of reduced frames."""

    def __init__(self, frames: FrameStack, scale: int) -> None:
        rows, columns = (-(-side // scale) for side in frames.shape)
        self.shape = frames.n_frames, frames.n_channels, rows, columns
        self.dtype = frames.dtype
        self._frames = frames
        self._scale = scale

    def __getitem__(self, index: Any) -> NDArray[Any]:
        t, *rest = index
        whole = self._frames.read(t)
        ends = [(0, -side % self._scale) for side in whole.shape[1:]]
        padded = np.pad(whole, [(0, 0), *ends], mode="edge")
        _, n_channels, rows, columns = self.shape
        cells = padded.reshape(n_channels, rows, self._scale, columns, self._scale)
        means = cells.mean(axis=(2, 4), dtype=np.float64)
        if self.dtype.kind != "f":
            means = np.rint(means)
        reduced: NDArray[Any] = means.astype(self.dtype)[tuple(rest)]
        return reduced

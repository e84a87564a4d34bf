"""What a round has changed, as a layer over the results."""

from __future__ import annotations

import zlib
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_vos._napari.background import Background
from napari_vos._napari.results import add_beside
from napari_vos._napari.snapshot import shown_frame
from napari_vos._napari.spread import spread

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_vos._napari.snapshot import ImageSnapshot
    from napari_vos.session import Changes, FrameChange, Session

LOST, GAINED, EXCHANGED = 1, 2, 3
COLOURS = {None: "transparent", 0: "transparent", LOST: "#ff3ea5", GAINED: "#35e0ff"}
COLOURS[EXCHANGED] = "#ffd83b"
"""Pixels an object has lost to the background, gained from it, or has from another object."""


class ChangeLayer:
    """Shows what the latest round has changed, until something else is done. Main thread only.

    A worker reads the frames, those around the one in view first; each appears when it
    was read.

    Parameters
    ----------
    viewer
        Where to show it.
    session
        Whose results.
    image
        The images.
    changes
        What the round has changed.
    """

    def __init__(
        self, viewer: ViewerModel, session: Session, image: ImageSnapshot, changes: Changes
    ) -> None:
        self._viewer = viewer
        self._image = image
        frames = ChangedFrames(tuple(session.labels.shape))
        self._layer = Labels(
            spread(frames, image.letters, image.shape),
            name=f"{image.name} changes",
            colormap=DirectLabelColormap(color_dict=COLOURS),
            opacity=0.8,
            **image.placement,
        )
        add_beside(viewer, self._layer)
        self._layer.editable = False
        t = shown_frame(image, viewer) or 0
        nearest = sorted(changes.frames, key=lambda each: abs(each - t))
        self._reading = Background(partial(frames.read, session, nearest))
        self._reading.found.connect(self._show)

    def stop(self) -> None:
        """Read no more; what was read stays."""
        self._reading.found.disconnect()
        self._reading.cancel()

    def remove(self) -> None:
        """Take it out of the window."""
        self.stop()
        if self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)

    def _show(self, t: int) -> None:
        if shown_frame(self._image, self._viewer) in (t, None):
            self._layer.refresh()


class ChangedFrames:
    """What has become of each pixel (T, Y, X) in the latest step, as far as it was read.

    What was read is kept in memory, compressed: showing it reads no file and waits for no
    other thread.

    Parameters
    ----------
    shape
        (T, Y, X).
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.dtype = np.dtype(np.uint8)
        self.ndim = 3
        self.size = int(np.prod(self.shape))
        self._packed: dict[int, bytes] = {}

    def read(self, session: Session, frames: Iterable[int]) -> Generator[int]:
        """Read frames of a session, in a worker, and yield each when it can be shown."""
        for t in frames:
            self._packed[t] = zlib.compress(_kinds(session.frame_change(t)).tobytes(), level=1)
            yield t

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        times, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(times, slice):
            chosen = range(*times.indices(self.shape[0]))
            return np.array([self._frame(t)[tuple(rest)] for t in chosen], np.uint8)
        return np.array(self._frame(int(times))[tuple(rest)])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self[:], dtype=dtype)

    def _frame(self, t: int) -> NDArray[np.uint8]:
        packed = self._packed.get(t)
        if packed is None:
            return np.zeros(self.shape[1:], np.uint8)
        return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(self.shape[1:])


def _kinds(change: FrameChange) -> NDArray[np.uint8]:
    """Return what has become of each pixel (Y, X) of a frame."""
    before, after = change.before, change.after
    found = np.zeros(before.shape, np.uint8)
    found[before != after] = EXCHANGED
    found[(before > 0) & (after == 0)] = LOST
    found[(before == 0) & (after > 0)] = GAINED
    return found

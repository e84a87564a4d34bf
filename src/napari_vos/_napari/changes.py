"""What a round has changed, as a layer over the results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_vos._napari.results import add_beside
from napari_vos._napari.spread import spread

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_vos._napari.snapshot import ImageSnapshot
    from napari_vos.session import Changes, Session

LOST, GAINED, EXCHANGED = 1, 2, 3
COLOURS = {None: "transparent", 0: "transparent", LOST: "#ff3ea5", GAINED: "#35e0ff"}
COLOURS[EXCHANGED] = "#ffd83b"
"""Pixels an object has lost to the background, gained from it, or has from another object."""


class ChangeLayer:
    """Shows what the latest round has changed, until something else is done. Main thread only.

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
        frames = ChangedFrames(session, frozenset(changes.frames))
        self._layer = Labels(
            spread(frames, image.letters, image.shape),
            name=f"{image.name} changes",
            colormap=DirectLabelColormap(color_dict=COLOURS),
            opacity=0.8,
            **image.placement,
        )
        add_beside(viewer, self._layer)
        self._layer.editable = False

    def remove(self) -> None:
        """Take it out of the window."""
        if self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)


class ChangedFrames:
    """What has become of each pixel (T, Y, X) in the latest step; read when it is shown.

    Parameters
    ----------
    session
        Whose results.
    frames
        Those that were changed.
    """

    def __init__(self, session: Session, frames: frozenset[int]) -> None:
        self._session = session
        self._frames = frames
        self.shape = tuple(session.labels.shape)
        self.dtype = np.dtype(np.uint8)
        self.ndim = 3
        self.size = int(np.prod(self.shape))

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        times, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(times, slice):
            chosen = range(*times.indices(self.shape[0]))
            return np.array([self._frame(t)[tuple(rest)] for t in chosen], np.uint8)
        return np.asarray(self._frame(int(times))[tuple(rest)])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self[:], dtype=dtype)

    def _frame(self, t: int) -> NDArray[np.uint8]:
        found = np.zeros(self.shape[1:], np.uint8)
        if t in self._frames:
            change = self._session.frame_change(t)
            before, after = change.before, change.after
            found[before != after] = EXCHANGED
            found[(before > 0) & (after == 0)] = LOST
            found[(before == 0) & (after > 0)] = GAINED
        return found

"""What is painted on results, until it is told to the session. Main thread only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from napari.layers import Labels
from psygnal import Signal

from napari_vos._napari.results import find_result
from napari_vos._napari.snapshot import AXES, METADATA, read_frame

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from napari.components import ViewerModel
    from numpy.typing import NDArray


class Corrections:
    """Hears the layers of results in a window.

    Parameters
    ----------
    viewer
        The window.
    """

    painted: ClassVar[Signal] = Signal()
    """A stroke on results has ended."""
    picked: ClassVar[Signal] = Signal(int)
    """Another object was chosen in the controls of results."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._heard: list[Labels] = []
        self._frames: dict[str, set[int]] = {}
        viewer.layers.events.inserted.connect(self._insert)
        for layer in viewer.layers:
            self._hear(layer)

    def note(self, folder: Path, frames: Iterable[int]) -> None:
        """Remember that frames of a session's results were painted."""
        self._frames.setdefault(str(folder), set()).update(frames)

    def take(self, folder: Path | None) -> dict[int, NDArray[np.generic]]:
        """Return a copy of the (Y, X) labels of frames that were painted, and forget them."""
        layer = None if folder is None else find_result(self._viewer, folder)
        if layer is None:
            return {}
        letters = layer.metadata[METADATA].get(AXES, "TYX")
        frames = self._frames.pop(str(folder), set())
        return {t: read_frame(layer.data, letters, t).copy() for t in sorted(frames)}

    def leave(self) -> None:
        """Hear no more."""
        self._viewer.layers.events.inserted.disconnect(self._insert)
        while self._heard:
            layer = self._heard.pop()
            layer.events.paint.disconnect(self._paint)
            layer.events.selected_label.disconnect(self._pick)

    def _insert(self, event: Any) -> None:
        self._hear(event.value)

    def _hear(self, layer: object) -> None:
        if isinstance(layer, Labels) and METADATA in layer.metadata:
            self._heard.append(layer)
            layer.events.paint.connect(self._paint)
            layer.events.selected_label.connect(self._pick)

    def _paint(self, event: Any) -> None:
        layer = event.source
        time_axis = layer.metadata[METADATA].get(AXES, "TYX").index("T")
        if self._viewer.dims.ndim - layer.ndim + time_axis not in self._viewer.dims.displayed:
            shown = layer.world_to_data(self._viewer.dims.point[-layer.ndim :])
            self.note(Path(layer.metadata[METADATA]["session"]), [round(shown[time_axis])])
            self.painted.emit()

    def _pick(self, event: Any) -> None:
        if event.source.selected_label:
            self.picked.emit(int(event.source.selected_label))

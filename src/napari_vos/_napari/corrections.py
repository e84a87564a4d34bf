"""What is painted on results, until it is told to the session. Main thread only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from napari.layers import Labels
from psygnal import Signal

from napari_vos._napari.brush import painted_frames
from napari_vos._napari.painted import Painted
from napari_vos._napari.snapshot import AXES, METADATA, read_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    from napari.components import ViewerModel

    from napari_vos.session import Session

_BRUSHES = ("paint", "erase", "fill", "polygon")
"""Modes of a labels layer in which the mouse changes pixels."""


class _Noted(NamedTuple):
    """What is known of a painted frame; see `Painted`."""

    is_held: bool
    is_rough: bool


class Corrections:
    """Hears the layers of results in a window.

    A frame is held in its session from the beginning of its first stroke until the
    session was told: no result is written over what the user paints. What it was before
    is read where the session is told, in a worker.

    Parameters
    ----------
    viewer
        The window.
    find
        Returns the open session of a folder.

    Attributes
    ----------
    is_rough
        Whether the strokes to come are scribbles; else they are corrected masks.
    """

    painted: ClassVar[Signal] = Signal()
    """A stroke on results has ended."""
    picked: ClassVar[Signal] = Signal(int)
    """Another object was chosen in the controls of results."""

    def __init__(self, viewer: ViewerModel, find: Callable[[Path], Session | None]) -> None:
        self._viewer = viewer
        self._find = find
        self._heard: list[Labels] = []
        self.is_rough = False
        self._frames: dict[Path, dict[int, _Noted]] = {}
        self._brushed: tuple[Path, int] | None = None
        viewer.layers.events.inserted.connect(self._insert)
        for layer in viewer.layers:
            self._hear(layer)

    def note(self, folder: Path, frames: Iterable[int]) -> None:
        """Remember that frames of a session's results were painted, or are about to be."""
        session, noted = self._find(folder), self._frames.setdefault(folder, {})
        for t in frames:
            if t not in noted:
                if session is not None:
                    session.hold_labels(t)
                noted[t] = _Noted(session is not None, self.is_rough)

    def take(self, folder: Path | None) -> dict[int, Painted]:
        """Return the frames that were painted, and forget them; not the one under the brush."""
        layer = next((each for each in self._heard if _folder_of(each) == folder), None)
        if folder is None or layer is None:
            return {}
        noted = self._frames.pop(folder, {})
        if self._brushed is not None and self._brushed[0] == folder:
            t = self._brushed[1]
            self._frames[folder] = {t: noted.pop(t)}
        letters = layer.metadata[METADATA].get(AXES, "TYX")
        return {
            t: Painted(read_frame(layer.data, letters, t).copy(), *about)
            for t, about in sorted(noted.items())
        }

    def put_back(self, folder: Path | None, frames: Mapping[int, Painted]) -> None:
        """Remember again what was taken and couldn't be told."""
        if folder is None or not frames:
            return
        session, noted = self._find(folder), self._frames.setdefault(folder, {})
        for t, painted in frames.items():
            if t in noted and noted[t].is_held and session is not None:
                session.release_labels(t)  # it is held since the earlier stroke
            noted[t] = _Noted(painted.is_held, painted.is_rough)

    def leave(self) -> dict[Path, dict[int, Painted]]:
        """Hear no more; return what wasn't taken yet, by the session's folder."""
        untold = {folder: self.take(folder) for folder in tuple(self._frames)}
        self._viewer.layers.events.inserted.disconnect(self._insert)
        while self._heard:
            layer = self._heard.pop()
            layer.events.paint.disconnect(self._paint)
            layer.events.selected_label.disconnect(self._pick)
            layer.mouse_drag_callbacks.remove(self._press)
        return untold

    def _insert(self, event: Any) -> None:
        self._hear(event.value)

    def _hear(self, layer: object) -> None:
        if isinstance(layer, Labels) and METADATA in layer.metadata:
            self._heard.insert(0, layer)
            layer.events.paint.connect(self._paint)
            layer.events.selected_label.connect(self._pick)
            # Before the brush's own, which paints at once.
            layer.mouse_drag_callbacks.insert(0, self._press)

    def _press(self, layer: Labels, event: Any) -> Generator[None]:
        """Hold the frame on which a stroke begins until it ends."""
        t = self._shown_frame(layer)
        if layer.mode not in _BRUSHES or t is None:
            return
        folder = _folder_of(layer)
        self._brushed = folder, t
        self.note(folder, [t])
        try:
            yield
            while event.type == "mouse_move":
                yield
        finally:
            self._brushed = None
        self.painted.emit()

    def _paint(self, event: Any) -> None:
        shown = self._shown_frame(event.source)
        if shown is not None:
            # Strokes are on the frame in view; what is set by index can be on any.
            frames = painted_frames(event.value, _time_axis(event.source)) or {shown}
            self.note(_folder_of(event.source), frames)
            self.painted.emit()

    def _shown_frame(self, layer: Labels) -> int | None:
        """Return the frame in view; None if it is none of the layer's, or time is spread out."""
        axis = _time_axis(layer)
        if self._viewer.dims.ndim - layer.ndim + axis in self._viewer.dims.displayed:
            return None
        t = round(layer.world_to_data(self._viewer.dims.point[-layer.ndim :])[axis])
        return t if 0 <= t < layer.data.shape[axis] else None

    def _pick(self, event: Any) -> None:
        if event.source.selected_label:
            self.picked.emit(int(event.source.selected_label))


def _folder_of(layer: Labels) -> Path:
    return Path(layer.metadata[METADATA]["session"])


def _time_axis(layer: Labels) -> int:
    return int(layer.metadata[METADATA].get(AXES, "TYX").index("T"))

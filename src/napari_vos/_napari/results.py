"""The labels layer in which a session's results appear."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Labels

from napari_vos._napari.placement import place
from napari_vos._napari.snapshot import (
    AXES,
    METADATA,
    WRITTEN,
    ImageSnapshot,
    show_frame,
    shown_frame,
)
from napari_vos._napari.spread import spread

if TYPE_CHECKING:
    from pathlib import Path

    from napari.components import ViewerModel

    from napari_vos.session import Session


class ResultLayer:
    """Shows a session's labels where its images lie. Main thread only.

    While it is open the worker writes its frames. Unless strokes are heard, the layer can't
    be painted meanwhile.

    Parameters
    ----------
    viewer
        Where to show them.
    session
        Whose results.
    image
        The images.
    is_heard
        Whether the session is told of strokes.
    """

    def __init__(
        self, viewer: ViewerModel, session: Session, image: ImageSnapshot, *, is_heard: bool
    ) -> None:
        self._viewer = viewer
        self._is_heard = is_heard
        self._image = image
        self.folder = session.folder
        self._changed: set[int] = set()
        found = find_result(viewer, session.folder)
        if found is None:
            found = Labels(
                spread(session.labels, image.letters, image.shape),
                name=f"{image.name} results",
                metadata={METADATA: {"session": str(session.folder), AXES: image.letters}},
                **image.placement,
            )
            add_beside(viewer, found)
        elif found.metadata[METADATA].get(AXES, "TYX") != image.letters:
            found.data = spread(session.labels, image.letters, image.shape)
            found.metadata[METADATA][AXES] = image.letters
        place(found, image.placement)
        self._layer = found
        self._mode = found.mode
        found.metadata[METADATA][WRITTEN] = True
        self._forget_strokes()
        found.editable = is_heard
        if is_heard:
            found.mode = self._mode

    @property
    def is_there(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self._layer in self._viewer.layers

    def note(self, t: int) -> None:
        """Remember that frame `t` was written."""
        self._changed.add(t)

    def refresh(self, *, follow: bool = False, latest: int | None = None) -> None:
        """Show what was written, if it is in view.

        Parameters
        ----------
        follow
            Whether to move on to the frame written last.
        latest
            That frame.
        """
        if not self._changed or not self.is_there:
            return
        t = shown_frame(self._image, self._viewer)
        if follow and latest is not None and t is not None and t != latest:
            show_frame(self._image, self._viewer, latest)
        elif t is None or t in self._changed:
            self._layer.refresh()
        self._changed.clear()

    def close(self) -> None:
        """Show the end state and let the user go on painting."""
        del self._layer.metadata[METADATA][WRITTEN]
        mode = self._layer.mode if self._is_heard else self._mode
        self._forget_strokes()
        self._layer.mode = mode
        if self.is_there:
            self._layer.refresh()

    def _forget_strokes(self) -> None:
        """Take the layer's own undo history away, which would paint stale pixels."""
        self._layer.editable = False
        self._layer.editable = True


def add_beside(viewer: ViewerModel, layer: Labels) -> None:
    """Add a layer and leave the one chosen that the user works on."""
    chosen = viewer.layers.selection.active
    viewer.add_layer(layer)
    if chosen is not None:
        viewer.layers.selection.active = chosen


def find_result(viewer: ViewerModel, folder: Path) -> Labels | None:
    """Return the layer that shows the session in `folder`, if there is one."""
    for layer in viewer.layers:
        about = layer.metadata.get(METADATA)
        if isinstance(layer, Labels) and about and about["session"] == str(folder):
            return layer
    return None

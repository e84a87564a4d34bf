"""What the Propagate widget shows of a session: its timeline, and what a round has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_vos._napari.background import Background
from napari_vos._napari.changes import ChangeLayer
from napari_vos.widgets.timeline import Timeline

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_vos._napari.desk import Desk
    from napari_vos._napari.run import Run
    from napari_vos.session import Changes, Session
    from napari_vos.widgets.steps import Aim


class Display:
    """Follows runs. Main thread only.

    Parameters
    ----------
    viewer
        The window.
    desk
        What holds the sessions.
    aim
        Returns what is chosen; None if there is no open session.

    Attributes
    ----------
    timeline
        All frames of the session.
    changes
        What the latest round has changed; None if something else was done since.
    """

    def __init__(self, viewer: ViewerModel, desk: Desk, aim: Callable[[], Aim | None]) -> None:
        self.timeline = Timeline()
        self.changes: Changes | None = None
        self.is_overlaid = True
        self._viewer = viewer
        self._desk = desk
        self._aim = aim
        self._overlay: ChangeLayer | None = None
        self._reading: Background | None = None

    def follow(self, run: Run) -> None:
        """Forget what was changed before, and show what a run does."""
        self._hide()
        self.changes = None
        run.opened.connect(self._open)
        run.progressed.connect(lambda *_: self.timeline.refresh())
        run.changed.connect(self._change)

    def fit(self) -> None:
        """Show the session that is chosen, as it is now."""
        aim = self._aim()
        overview = None if aim is None else self._desk.sessions.overview(aim.session)
        self.timeline.show_overview(overview)

    def overlay(self, is_overlaid: bool) -> None:
        """Show or hide where the latest round has changed something."""
        self.is_overlaid = is_overlaid
        self._hide()
        self._show()

    def leave(self) -> None:
        """Hear no more of a session."""
        if self._reading is not None:
            self._reading.found.disconnect()
            self._reading.finished.disconnect()
            self._reading.cancel()
        if self._overlay is not None:
            self._overlay.stop()

    def _open(self, session: Session) -> None:
        overview = self._desk.sessions.overview(session)
        self.timeline.show_overview(overview)
        if not overview.is_read:
            self._reading = Background(overview.read)
            self._reading.found.connect(self.timeline.refresh)
            self._reading.finished.connect(self.timeline.refresh)

    def _change(self, changes: Changes) -> None:
        self.changes = changes
        self._show()

    def _show(self) -> None:
        """Show what has changed, if anything was replaced: in a first run all is new."""
        aim, changes = self._aim(), self.changes
        if aim is None or changes is None or not self.is_overlaid:
            return
        if any(change.lost for change in changes.by_object.values()):
            self._overlay = ChangeLayer(self._viewer, aim.session, aim.image, changes)

    def _hide(self) -> None:
        if self._overlay is not None:
            self._overlay.remove()
            self._overlay = None

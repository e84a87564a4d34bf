"""When a panel is taken out of its window."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget


def call_at_end(panel: QWidget, then: Callable[[], None]) -> None:
    """Call once when a panel is closed, whether alone or with its window.

    A panel whose dock widget is closed isn't destroyed: it only loses its parent.

    Parameters
    ----------
    panel
        The panel.
    then
        What to call. It is let go of afterwards.
    """
    calls = [then]

    def end(*_: object) -> None:
        while calls:
            calls.pop()()

    panel.installEventFilter(_ParentWatch(panel, end))
    panel.destroyed.connect(end)


class _ParentWatch(QObject):  # type: ignore[misc]
    def __init__(self, panel: QWidget, end: Callable[[], None]) -> None:
        super().__init__(panel)
        self._panel, self._end = panel, end

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Look at what happens to the panel."""
        is_moved = event is not None and event.type() == QEvent.Type.ParentChange
        if is_moved and self._panel.parent() is None:
            self._end()
        return False

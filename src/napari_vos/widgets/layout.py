"""How the parts of a dock widget are put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import Container
from qtpy.QtWidgets import QScrollArea, QTabWidget, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from magicgui.widgets.bases import Widget


def make_row(*widgets: Widget, label: str = "") -> Container[Any]:
    """Return fields and buttons beside each other."""
    row: Container[Any] = Container(widgets=widgets, layout="horizontal", labels=False, label=label)
    row.margins = (0, 0, 0, 0)
    return row


def make_tabs(panels: Mapping[str, Container[Any]]) -> QTabWidget:
    """Return tabs with panels by their title; they scroll where the window is too small."""
    tabs = QTabWidget()
    for title, panel in panels.items():
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.addWidget(panel.native)
        layout.addStretch()
        area = QScrollArea()
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setWidget(page)
        tabs.addTab(area, title)
    return tabs

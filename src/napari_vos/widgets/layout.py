"""How the parts of a dock widget are put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import Container, Label
from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QScrollArea, QTabWidget, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from magicgui.widgets.bases import Widget

_LEAST_HEIGHT = 200
"""Of what scrolls as a whole, in pixels."""


def make_row(*widgets: Widget, label: str = "") -> Container[Any]:
    """Return fields and buttons beside each other."""
    row: Container[Any] = Container(widgets=widgets, layout="horizontal", labels=False, label=label)
    row.margins = (0, 0, 0, 0)
    return row


def make_text(text: str = "") -> Label:
    """Return a text that breaks into lines only where it reaches the border."""
    label = Label(value=text)
    label.native.setWordWrap(True)
    policy = label.native.sizePolicy()
    policy.setHorizontalPolicy(policy.Policy.Expanding)
    label.native.setSizePolicy(policy)
    return label


def make_tabs(panels: Mapping[str, Container[Any]]) -> QTabWidget:
    """Return tabs with panels by their title; they scroll where the window is too small."""
    tabs = QTabWidget()
    for title, panel in panels.items():
        tabs.addTab(_Scroll([panel.native]), title)
    return tabs


def let_scroll(panel: QWidget) -> None:
    """Let all that a dock widget holds scroll: two of them must fit into one window."""
    layout = panel.layout()
    held = [layout.takeAt(0).widget() for _ in range(layout.count())]
    area = _Scroll(held)
    area.setMinimumHeight(_LEAST_HEIGHT)
    layout.addWidget(area)


class _Scroll(QScrollArea):  # type: ignore[misc]
    """Scrolls up and down, and is as wide as what it holds."""

    def __init__(self, held: Iterable[QWidget]) -> None:
        super().__init__()
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(0, 0, 0, 0)
        for each in held:
            layout.addWidget(each)
        layout.addStretch()
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidgetResizable(True)
        self.setWidget(page)

    def minimumSizeHint(self) -> QSize:
        """Return the least size, with room for the bar."""
        hint = super().minimumSizeHint()
        bar = self.verticalScrollBar().sizeHint().width()
        hint.setWidth(self.widget().minimumSizeHint().width() + bar)
        return hint

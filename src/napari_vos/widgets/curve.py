"""Values that are drawn as lines while they come."""

from __future__ import annotations

from itertools import pairwise

from qtpy.QtCore import QPointF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

COLOURS = ("#4c9be8", "#f0a030", "#6cc36c")
MARGIN = 6
HEIGHT = 110


class Curve(QWidget):  # type: ignore[misc]
    """Lines over a common axis, each in a range of its own, with its last value.

    Parameters
    ----------
    names
        Of the lines, up to three.
    """

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.points: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Return the size that is wanted."""
        return QSize(200, HEIGHT)

    def add(self, name: str, x: float, y: float) -> None:
        """Go on with a line."""
        self.points[name].append((x, y))
        self.update()

    def clear(self) -> None:
        """Take all lines away."""
        for points in self.points.values():
            points.clear()
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the lines and their legend."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        legend = painter.fontMetrics().height()
        width, height = self.width() - 2 * MARGIN, self.height() - 3 * MARGIN - legend
        last = max((points[-1][0] for points in self.points.values() if points), default=0) or 1
        x_text = MARGIN
        for (name, points), colour in zip(self.points.items(), COLOURS, strict=False):
            if not points:
                continue
            painter.setPen(QPen(QColor(colour), 2))
            low, high = (extreme(y for _, y in points) for extreme in (min, max))
            places = [
                QPointF(
                    MARGIN + width * x / last,
                    2 * MARGIN + legend + height * (high - y) / ((high - low) or 1),
                )
                for x, y in points
            ]
            for one, other in pairwise(places):
                painter.drawLine(one, other)
            painter.drawEllipse(places[-1], 2, 2)
            text = f"{name} {points[-1][1]:.3g}"
            painter.drawText(x_text, MARGIN, width, legend, Qt.AlignmentFlag.AlignLeft, text)
            x_text += painter.fontMetrics().horizontalAdvance(text + "   ")
        painter.end()

"""All frames of a session on one line: where the user has spoken, and where to look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QHelpEvent, QImage, QMouseEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtCore import QEvent

    from napari_vos._napari.overview import Overview

HEIGHT = 34
"""Pixels."""

BACKGROUND, EMPTY, PENDING = (28, 31, 38), (58, 63, 73), (120, 128, 142)
USER, ACCEPTED, END, CURRENT = (255, 255, 255), (74, 222, 128), (217, 70, 239), "#ffd83b"
DOUBT = np.array([[215, 48, 39], [253, 174, 97], [171, 217, 233], [69, 117, 180]], float)
"""Colours of confidence at `DOUBT_AT`; told apart by all eyes."""
DOUBT_AT = (0.4, 0.7, 0.85, 1.0)

ROWS = {"user": slice(2, 8), "frames": slice(10, 22), "accepted": slice(23, 25)}
ROWS["ends"] = slice(27, 32)


class Timeline(QWidget):  # type: ignore[misc]
    """Draws an `Overview`, one column of pixels at a time; a click goes to a frame."""

    chosen = Signal(int)
    """The user wants to see a frame."""

    def __init__(self) -> None:
        super().__init__()
        self._overview: Overview | None = None
        self._current: int | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Click to go to a frame. White: your frames. Blue to red: the least certain objects, "
            "sure to doubtful. Green: accepted. Magenta: an object ends. "
            "Light grey: to be propagated."
        )

    def sizeHint(self) -> QSize:
        """Return how large it wants to be."""
        return QSize(300, HEIGHT)

    def show_overview(self, overview: Overview | None) -> None:
        """Draw another session; None for none."""
        self._overview = overview
        self.update()

    def show_current(self, t: int | None) -> None:
        """Mark the frame in view."""
        self._current = t
        self.update()

    def refresh(self) -> None:
        """Draw what has become known since."""
        self.update()

    def frame_at(self, x: float) -> int | None:
        """Return the frame at a horizontal position in pixels."""
        if self._overview is None:
            return None
        t = int(x * self._overview.n_frames / max(1, self.width()))
        return min(max(t, 0), self._overview.n_frames - 1)

    def position_of(self, t: int) -> float:
        """Return where the middle of a frame is, in pixels."""
        n_frames = 1 if self._overview is None else self._overview.n_frames
        return float((t + 0.5) * self.width() / n_frames)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw what is known."""
        with QPainter(self) as painter:
            painter.fillRect(self.rect(), QColor(*BACKGROUND))
            if self._overview is None:
                return
            pixels = draw_columns(self._overview, self.width())
            height, width, _ = pixels.shape
            image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
            painter.drawImage(0, 0, image)
            if self._current is not None:
                half = max(1.0, self.width() / self._overview.n_frames / 2)
                middle = self.position_of(self._current)
                painter.setPen(QColor(CURRENT))
                left, right = round(middle - half), round(middle + half)
                painter.drawRect(left, 0, max(1, right - left - 1), HEIGHT - 1)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go to the frame under the pointer."""
        t = self.frame_at(event.position().x())
        if t is not None and event.buttons() & Qt.MouseButton.LeftButton:
            self.chosen.emit(t)

    mouseMoveEvent = mousePressEvent

    def event(self, event: QEvent) -> bool:
        """Tell of the frame under the pointer."""
        if isinstance(event, QHelpEvent) and self._overview is not None:
            t = self.frame_at(event.pos().x())
            if t is not None:
                told = f"{self._overview.describe(t)}\n\n{self.toolTip()}"
                QToolTip.showText(event.globalPos(), told, self)
                return True
        return bool(super().event(event))


def draw_columns(overview: Overview, width: int) -> NDArray[np.uint8]:
    """Return the picture (`HEIGHT`, width, 3) of all frames.

    A column that stands for several frames shows what any of them has, and the
    lowest confidence.
    """
    picture = np.full((HEIGHT, width, 3), BACKGROUND, np.uint8)
    confidence = np.where(np.isnan(overview.confidence), np.inf, overview.confidence)
    lowest = np.asarray(_columns(confidence, width, np.minimum), float)
    band = np.stack(
        [np.interp(lowest, DOUBT_AT, DOUBT[:, channel]) for channel in range(3)], axis=-1
    )
    band[np.isinf(lowest)] = EMPTY
    band[_columns(overview.is_pending, width, np.logical_or)] = PENDING
    picture[ROWS["frames"]] = band
    for row, colour, where in (
        ("user", USER, overview.is_marked),
        ("accepted", ACCEPTED, overview.is_accepted),
        ("ends", END, overview.has_end),
    ):
        picture[ROWS[row], _columns(where, width, np.logical_or)] = colour
    return picture


def _columns(values: NDArray[np.generic], width: int, reduce: np.ufunc) -> NDArray[np.generic]:
    """Return the values (T,) of the frames that lie on each column, reduced to one."""
    first = np.arange(width) * len(values) // width
    if len(values) <= width:
        return values[first]
    columns: NDArray[np.generic] = reduce.reduceat(values, first)
    return columns

"""How a mask is made of prototypes, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPaintEvent
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.engines.base import Combination

COLUMNS, ROWS = 4, 3
"""Of pictures: the mask, and the prototypes with the largest share in it."""

POSITIVE, NEGATIVE = np.array([255, 160, 40]), np.array([60, 140, 255])
"""Colours of what adds to the mask and of what takes away from it."""

BEHIND, TEXT = "#262930", "#d0d0d0"

GAP = 4


class CombinationView(QWidget):  # type: ignore[misc]
    """The mask of an instance, and the prototypes times their coefficients that it is the sum of.

    What adds to the mask is orange, what takes away from it is blue.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("Prototypes")
        self.pictures: list[tuple[str, NDArray[np.uint8]]] = []

    def sizeHint(self) -> QSize:
        """Return the size that is wanted."""
        return QSize(640, 540)

    def show_combination(self, combination: Combination) -> None:
        """Show another mask."""
        self.pictures = pictures_of(combination)
        self.update()
        self.show()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the pictures, each with its name below."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(BEHIND))
        text_height = painter.fontMetrics().height()
        width, height = self.width() // COLUMNS, self.height() // ROWS
        for index, (name, pixels) in enumerate(self.pictures):
            row, column = divmod(index, COLUMNS)
            place = QRect(column * width, row * height, width, height).adjusted(
                GAP, GAP, -GAP, -GAP
            )
            shown = _image_of(pixels).scaled(
                place.size() - QSize(0, text_height), Qt.AspectRatioMode.KeepAspectRatio
            )
            painter.drawImage(place.topLeft(), shown)
            painter.setPen(QColor(TEXT))
            place.setTop(place.top() + shown.height())
            painter.drawText(place, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, name)
        painter.end()


def pictures_of(combination: Combination) -> list[tuple[str, NDArray[np.uint8]]]:
    """Return names and (H, W, 3) uint8 pictures: the mask, and prototypes by their share in it."""
    prototypes, coefficients, mask = combination
    parts = prototypes * coefficients[:, None, None]
    strength = np.abs(parts).max(axis=(1, 2))
    strongest = np.argsort(-strength, kind="stable")[: COLUMNS * ROWS - 1]
    limit = max(float(strength.max()), 1e-6)
    grey = np.repeat((255 * mask[..., None]).astype(np.uint8), 3, axis=2)
    return [
        ("mask", grey),
        *(
            (f"{coefficients[i]:+.2f} x prototype {i}", _coloured(parts[i] / limit))
            for i in strongest
        ),
    ]


def _coloured(part: NDArray[np.float32]) -> NDArray[np.uint8]:
    colour = np.where(part[..., None] > 0, POSITIVE, NEGATIVE)
    return (np.abs(part)[..., None] * colour).astype(np.uint8)


def _image_of(pixels: NDArray[np.uint8]) -> QImage:
    height, width, _ = pixels.shape
    data: Any = np.ascontiguousarray(pixels).tobytes()
    return QImage(data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()

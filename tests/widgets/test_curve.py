from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_vos.widgets.curve import COLOURS, Curve

pytestmark = pytest.mark.gui


@pytest.fixture
def curve(qtbot: Any) -> Curve:
    curve = Curve("loss", "AP50")
    qtbot.addWidget(curve)
    curve.resize(curve.sizeHint())
    return curve


def coloured(curve: Curve, colour: str) -> np.ndarray:
    """Return rows and columns of the pixels of a colour, below the legend."""
    image = curve.grab().toImage()
    top = curve.fontMetrics().height() + 6
    places = [
        (row, column)
        for row in range(top, image.height())
        for column in range(image.width())
        if image.pixelColor(column, row).name() == colour
    ]
    return np.array(places).reshape(-1, 2)


def test_lines_go_through_their_values(curve: Curve) -> None:
    assert len(coloured(curve, COLOURS[0])) == 0
    for x, y in ((0, 9.0), (1, 5.0), (2, 1.0)):
        curve.add("loss", x, y)
    line = coloured(curve, COLOURS[0])
    left, right = line[line[:, 1] < 50], line[line[:, 1] > 150]
    assert left[:, 0].mean() < right[:, 0].mean() - 40
    curve.add("AP50", 2, 0.5)
    curve.add("AP50", 4, 0.5)
    assert len(coloured(curve, COLOURS[1])) > 0
    assert coloured(curve, COLOURS[0])[:, 1].max() < 120  # there is more of the axis now
    curve.clear()
    assert len(coloured(curve, COLOURS[0])) == len(coloured(curve, COLOURS[1])) == 0


def test_one_value_is_a_point(curve: Curve) -> None:
    curve.add("loss", 0, 3)
    assert len(coloured(curve, COLOURS[0])) > 0

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_vos.engines.base import Combination
from napari_vos.widgets.combination import CombinationView, pictures_of

pytestmark = pytest.mark.gui


@pytest.fixture
def combination() -> Combination:
    """Sixteen prototypes of one row each; the later the stronger, every second one negative."""
    prototypes = np.eye(16, dtype=np.float32)[:, :, None].repeat(8, axis=2)
    coefficients = np.linspace(0.1, 1, 16, dtype=np.float32)
    coefficients[1::2] *= -1
    return Combination(prototypes, coefficients, np.full((16, 8), 0.5, np.float32))


def test_the_strongest_prototypes_are_shown_in_colour(combination: Combination) -> None:
    (name, mask), (first, strongest), (second, next_one), *rest = pictures_of(combination)
    assert (name, first, second) == ("mask", "-1.00 x prototype 15", "+0.94 x prototype 14")
    assert len(rest) == 9
    assert mask.shape == (16, 8, 3)
    assert (mask == 127).all()
    red, _, blue = strongest[15, 0]
    assert blue == 255 > red
    assert not strongest[:15].any()
    red, _, blue = next_one[14, 0]
    assert red > 230 > blue


def test_nothing_to_combine_is_black() -> None:
    nothing = Combination(np.zeros((2, 3, 3)), np.zeros(2), np.zeros((3, 3)))
    assert not any(picture.any() for _, picture in pictures_of(nothing))


def test_the_view_draws_them(qtbot: Any, combination: Combination) -> None:
    view = CombinationView()
    qtbot.addWidget(view)
    view.show_combination(combination)
    assert len(view.pictures) == 12
    image = view.grab().toImage()
    place = image.pixelColor(20, 20)
    assert (place.red(), place.green(), place.blue()) == (127, 127, 127)

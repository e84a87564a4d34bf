from __future__ import annotations

import pytest
import torch

from napari_vos.engines.places import Place, recenter
from napari_vos.engines.windows import WINDOW_SIZE


def square(top: int, left: int, side: int = 20) -> torch.Tensor:
    probability = torch.zeros(1, WINDOW_SIZE, WINDOW_SIZE)
    probability[0, top : top + side, left : left + side] = 1
    return probability


def test_a_window_moves_to_an_object_off_its_middle() -> None:
    place = Place(100, 50, 2 * WINDOW_SIZE)
    moved = recenter(place, square(10, 38))
    assert moved is not None
    assert moved == pytest.approx((100 + 2 * (20 - WINDOW_SIZE / 2), 50, place.side))


def test_a_window_grows_whose_object_reaches_its_rim() -> None:
    place = Place(100, 50, 60)
    assert recenter(place, square(0, 0, WINDOW_SIZE)) == pytest.approx((100, 50, 75))


def test_a_window_stays_that_shows_its_object_in_the_middle_or_none() -> None:
    place = Place(100, 50, 60)
    middle = WINDOW_SIZE // 2 - 10
    assert recenter(place, square(middle + 8, middle - 8)) is None
    assert recenter(place, torch.zeros(1, WINDOW_SIZE, WINDOW_SIZE)) is None

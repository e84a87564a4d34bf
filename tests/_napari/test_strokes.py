"""Marks belong to the frame and the object at which they were drawn; no window is needed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels, Points

from napari_vos._napari.drawing import Place
from napari_vos._napari.snapshot import METADATA, take_image
from napari_vos._napari.strokes import Strokes, Taken
from napari_vos.errors import PromptError
from napari_vos.prompts import draw

SHAPE = (24, 40)
NEGATIVE = 65535


@pytest.fixture
def place(images: np.ndarray) -> Place:
    """12 frames of 24 x 40 pixels; frame 5 and object 3 are current."""
    image = Image(images, name="phase")
    return Place(image, take_image(image), 5, 3)


@pytest.fixture
def layer() -> Labels:
    return Labels(np.zeros((12, *SHAPE), np.uint16), name="scribbles")


def paint(strokes: Strokes, place: Place, label: int, *pixel: int) -> None:
    """Paint a pixel with the brush; the layer tells before it has changed."""

    def hear(event: Any) -> None:
        strokes.note(place, event.value)

    layer = strokes.layer
    assert isinstance(layer, Labels)
    layer.events.paint.connect(hear)
    layer.brush_size = 1
    layer.paint(pixel, label)
    layer.events.paint.disconnect(hear)


def said(taken: Taken | None) -> dict[int, list[tuple[int, bool, tuple[int, ...]]]]:
    """Return the object, the sign and the first pixel of what is said, by frame."""
    assert taken is not None
    found = {}
    for t, each in taken.drawings.items():
        found[t] = [
            (p.object_id, p.positive, tuple(np.argwhere(_pixels(p))[0].tolist()))
            for p in each.prompts
        ]
    return found


def _pixels(prompt: Any) -> np.ndarray:
    drawn = draw([prompt], SHAPE)
    return drawn.inside(prompt.object_id) | drawn.outside(prompt.object_id)


def test_strokes_stay_on_their_frame_when_the_view_moves_on(place: Place, layer: Labels) -> None:
    strokes = Strokes(layer)
    paint(strokes, place, 3, 5, 1, 1)
    paint(strokes, replace(place, shown=6), 4, 6, 2, 2)
    taken = strokes.read(replace(place, shown=9), again=False)
    assert said(taken) == {5: [(3, True, (1, 1))], 6: [(4, True, (2, 2))]}
    # Until masks were made of them they are new.
    assert said(strokes.read(place, again=False)) == said(taken)
    paint(strokes, place, 3, 5, 8, 8)  # meanwhile
    assert taken is not None
    strokes.keep(taken)
    assert said(strokes.read(replace(place, shown=9), again=False)) == {5: [(3, True, (8, 8))]}


def test_negative_strokes_are_beside_the_object_they_were_drawn_for(
    place: Place, layer: Labels
) -> None:
    strokes = Strokes(layer)
    paint(strokes, place, NEGATIVE, 5, 1, 1)
    five = replace(place, object_id=5)
    paint(strokes, five, NEGATIVE, 5, 2, 2)
    assert said(strokes.read(five, again=False)) == {5: [(3, False, (1, 1)), (5, False, (2, 2))]}
    paint(strokes, five, 0, 5, 1, 1)
    paint(strokes, five, NEGATIVE, 5, 1, 1)
    ((object_id, *_),) = said(strokes.read(place, again=False))[5]
    assert object_id == 5


def test_what_was_undone_is_not_read(place: Place, layer: Labels) -> None:
    strokes = Strokes(layer)
    paint(strokes, place, 3, 5, 1, 1)
    layer.undo()
    assert strokes.read(replace(place, shown=9), again=False) is None


def test_what_is_set_without_a_brush_is_read_in_view(place: Place, layer: Labels) -> None:
    strokes = Strokes(layer)
    layer.data[5, 1, 1] = 3
    layer.data[5, 2, 2] = NEGATIVE
    taken = strokes.read(place, again=False)
    assert said(taken) == {5: [(3, True, (1, 1)), (3, False, (2, 2))]}
    assert taken is not None
    strokes.keep(taken)
    assert strokes.read(place, again=False) is None
    assert said(strokes.read(place, again=True)) == said(taken)


def test_strokes_without_time_stay_on_the_frame_that_was_in_view(place: Place) -> None:
    strokes = Strokes(Labels(np.zeros(SHAPE, np.uint16), name="flat"))
    paint(strokes, place, 3, 1, 1)
    later = replace(place, shown=6, object_id=4)
    paint(strokes, later, NEGATIVE, 2, 2)
    last = replace(place, shown=9)
    assert said(strokes.read(last, again=False)) == {
        5: [(3, True, (1, 1))],
        6: [(4, False, (2, 2))],
    }
    paint(strokes, later, 8, 1, 1)  # over the stroke on frame 5
    assert said(strokes.read(last, again=False)) == {6: [(8, True, (1, 1)), (4, False, (2, 2))]}


def test_clicks_without_time_stay_on_the_frame_that_was_in_view(place: Place) -> None:
    layer = Points(ndim=2, name="clicks")
    strokes = Strokes(layer)
    for t in (5, 6):
        layer.add((4, 7))  # the mouse rests while the view moves
        strokes.note(replace(place, shown=t))
    taken = strokes.read(replace(place, shown=9), again=False)
    assert said(taken) == {t: [(3, True, (2, 7))] for t in (5, 6)}
    assert taken is not None
    strokes.keep(taken)
    layer.add((9, 9))
    assert list(said(strokes.read(replace(place, shown=9), again=False))) == [9]


def test_results_and_layers_that_lie_elsewhere_are_refused(place: Place, layer: Labels) -> None:
    layer.scale = (1, 0.5, 0.5)
    with pytest.raises(PromptError, match="'scribbles' doesn't lie on the images 'phase'"):
        Strokes(layer).note(place)
    layer.metadata[METADATA] = {"session": "/x"}
    with pytest.raises(PromptError, match="'scribbles' shows results"):
        Strokes(layer).read(place, again=False)

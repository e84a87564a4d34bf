from __future__ import annotations

import numpy as np
import pytest

from napari_vos.errors import PromptError
from napari_vos.prompts import box_prompt, point_prompt, scribble_prompt


def test_one_stroke_or_several() -> None:
    one = scribble_prompt(3, 7, [(1, 2), (3, 4.5)])
    assert one.lines == (((1.0, 2.0), (3.0, 4.5)),)
    assert scribble_prompt(3, 7, np.array([[1, 2], [3, 4.5]])) == one
    several = scribble_prompt(3, 7, [[(1, 2), (3, 4)], np.array([[5, 6]])], width=1, positive=False)
    assert several.lines == (((1.0, 2.0), (3.0, 4.0)), ((5.0, 6.0),))
    assert (several.width, several.positive) == (1.0, False)


def test_one_point_or_several() -> None:
    assert point_prompt(0, 7, (1, 2)) == point_prompt(0, 7, np.array([[1.0, 2.0]]))
    assert point_prompt(0, 7, [(1, 2), (3, 4)]).points == ((1.0, 2.0), (3.0, 4.0))


def test_corners_of_a_box_come_in_any_order() -> None:
    box = box_prompt(0, 7, (20, 3, 10, 30.5))
    assert (box.top, box.left, box.bottom, box.right) == (10, 3, 20, 30.5)


@pytest.mark.parametrize(
    ("prompt", "arguments", "told"),
    [
        (scribble_prompt, (3, 0, [(1, 2)]), "scribble on frame 3 is of object 0, .* background"),
        (point_prompt, (3, 0, (1, 2)), "point on frame 3 is of object 0, .* negative one"),
        (box_prompt, (3, 70_000, (1, 2, 3, 4)), "object 70000; expected an id from 1 to 65535"),
        (scribble_prompt, (3, -1, [(1, 2)]), "object -1; expected an id"),
        (scribble_prompt, (3, 7, []), "scribble of object 7 on frame 3 is empty"),
        (scribble_prompt, (3, 7, [[]]), "scribble of object 7 on frame 3 is empty"),
        (point_prompt, (3, 7, []), "point of object 7 on frame 3 is empty"),
        (point_prompt, (3, 7, np.empty((0, 2))), "point of object 7 on frame 3 is empty"),
        (scribble_prompt, (3, 7, [(1, 2, 3)]), r"shape .1, 3.; expected points .y, x."),
        (scribble_prompt, (3, 7, [(1, np.nan)]), "without finite coordinates"),
        (box_prompt, (3, 7, (1, 2, 3)), r"shape .3,.; expected .top, left, bottom, right."),
        (box_prompt, (3, 7, (1, 2, 3, np.inf)), "without finite coordinates"),
    ],
)
def test_what_cannot_be_used(prompt, arguments, told) -> None:
    with pytest.raises(PromptError, match=told):
        prompt(*arguments)


def test_widths_that_cannot_be_used() -> None:
    with pytest.raises(PromptError, match=r"0\.5 pixels wide; expected at least 1"):
        scribble_prompt(3, 7, [(1, 2)], width=0.5)
    with pytest.raises(PromptError, match="radius -1; expected at least 0"):
        point_prompt(3, 7, [(1, 2)], radius=-1)

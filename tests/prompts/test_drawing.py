from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_vos.errors import PromptError
from napari_vos.prompts import box_prompt, draw, point_prompt, scribble_prompt

SHAPE = (20, 30)


def inside(*prompts, object_id=7):
    return draw(prompts, SHAPE).inside(object_id)


def test_a_thin_stroke_is_a_line() -> None:
    expected = np.zeros(SHAPE, bool)
    expected[4, 3:11] = True
    assert np.array_equal(inside(scribble_prompt(0, 7, [(4, 3), (4, 10)], width=1)), expected)


@pytest.mark.parametrize("end", [(3.2, 20.7), (15.5, 21.5), (18, 4), (2.5, 5.5), (4, 3)])
def test_a_stroke_is_one_piece(end) -> None:
    for width in (1, 3):
        mask = inside(scribble_prompt(0, 7, [(4, 3), end], width=width))
        assert ndimage.label(mask, np.ones((3, 3)))[1] == 1
        assert mask[4, 3]
        assert mask[int(np.floor(end[0] + 0.5)), int(np.floor(end[1] + 0.5))]


def test_a_thick_stroke_is_what_lies_within_half_its_width() -> None:
    rows, columns = np.indices(SHAPE)
    mask = inside(scribble_prompt(0, 7, [(5, 5), (15, 15)], width=5))
    share = np.clip(((rows - 5) + (columns - 5)) / 20, 0, 1)
    distance = np.hypot(rows - 5 - 10 * share, columns - 5 - 10 * share)
    assert mask[distance < 2.49].all()
    assert not mask[distance > 2.51].any()


def test_a_click_is_a_disc() -> None:
    rows, columns = np.indices(SHAPE)
    mask = inside(point_prompt(0, 7, [(10, 12)], radius=2))
    assert np.array_equal(mask, np.hypot(rows - 10, columns - 12) <= 2)
    assert inside(point_prompt(0, 7, [(10.4, 12.5)], radius=0)).sum() == 1


def test_a_box_holds_the_pixels_whose_centres_it_holds() -> None:
    drawing = draw([box_prompt(0, 7, (2.4, 3, 8.9, 12))], SHAPE)
    assert drawing.boxes == {7: np.s_[3:9, 3:13]}
    assert not drawing.inside(7).any()
    assert draw([box_prompt(0, 7, (-5, -5, 50, 50))], SHAPE).boxes == {7: np.s_[0:20, 0:30]}


def test_what_reaches_beyond_the_frame_is_cut_off() -> None:
    mask = inside(scribble_prompt(0, 7, [(10, -1e7), (10, 2)], width=1))
    assert np.argwhere(mask).tolist() == [[10, 0], [10, 1], [10, 2]]


@pytest.mark.parametrize(
    "prompt",
    [
        scribble_prompt(3, 7, [(25, 3), (30, 10)]),
        point_prompt(3, 7, [(-5, 3)]),
        box_prompt(3, 7, (2, 31, 10, 40)),
        box_prompt(3, 7, (2, -8, 10, -0.5)),
        box_prompt(3, 7, (2.1, 3, 2.9, 8)),
    ],
)
def test_what_lies_outside_of_the_frame_is_refused(prompt) -> None:
    told = f"{prompt.kind} of object 7 on frame 3 lies outside the image .rows 0-19, columns 0-29."
    with pytest.raises(PromptError, match=told):
        draw([prompt], SHAPE)


def test_strokes_of_others_are_outside() -> None:
    drawing = draw(
        [
            scribble_prompt(0, 7, [(4, 3), (4, 10)], width=1),
            scribble_prompt(0, 8, [(9, 3), (9, 10)], width=1),
            scribble_prompt(0, 7, [(14, 3), (14, 10)], width=1, positive=False),
        ],
        SHAPE,
    )
    assert drawing.object_ids == (7, 8)
    assert np.flatnonzero(drawing.outside(7).any(axis=1)).tolist() == [9, 14]
    assert np.flatnonzero(drawing.outside(8).any(axis=1)).tolist() == [4]
    window = np.s_[8:15, 2:5]
    assert np.array_equal(drawing.outside(7, window), drawing.outside(7)[window])
    assert np.array_equal(drawing.inside(8, window), drawing.inside(8)[window])


def test_what_is_drawn_later_wins() -> None:
    row = [(4, 3), (4, 10)]
    column = [(0, 5), (10, 5)]
    over = scribble_prompt(0, 7, column, width=1)
    for under in (
        scribble_prompt(0, 7, row, width=1, positive=False),
        scribble_prompt(0, 8, row, width=1),
    ):
        drawing = draw([under, over], SHAPE)
        assert drawing.inside(7)[4, 5]
        assert not drawing.outside(7)[4, 5]
        assert drawing.outside(7)[4].sum() == 7
    drawing = draw(
        [over, scribble_prompt(0, 7, row, width=1, positive=False)],
        SHAPE,
    )
    assert not drawing.inside(7)[4, 5]
    assert drawing.outside(7)[4].sum() == 8
    assert drawing.inside(7).sum() == 10


def test_one_frame_at_a_time() -> None:
    with pytest.raises(PromptError, match="on frames 2, 5"):
        draw([point_prompt(5, 7, (1, 2)), point_prompt(2, 7, (1, 2))], SHAPE)
    with pytest.raises(PromptError, match="Nothing is drawn"):
        draw([], SHAPE)

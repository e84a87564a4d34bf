from __future__ import annotations

import pytest

from napari_vos.engines.base import Span
from napari_vos.session.marks import ANY_OBJECT, Mark, MarkKind, is_supported, marks_of
from napari_vos.session.spans import Arm, Leg, Reach, nearest_first, plan_legs

PRESENT, ABSENT = MarkKind.PRESENT, MarkKind.ABSENT


def marks(*said):
    """Marks from (t, id) in the order in which they were made; id < 0 is absent."""
    return {
        (t, abs(object_id)): Mark(ABSENT if object_id < 0 else PRESENT, order)
        for order, (t, object_id) in enumerate(said, start=1)
    }


def spans(said, arms=None, n_frames=20, **reach):
    legs = plan_legs(said, arms or {}, n_frames, Reach(**reach))
    return [(leg.span.start, leg.span.end, leg.span.object_ids, leg.span.fuse_with) for leg in legs]


def done(said, n_frames=20):
    """Arms as they are when all marks were propagated."""
    return {
        (leg.span.start, i, leg.span.direction): Arm(leg.span.end, "1-0", False)
        for leg in plan_legs(said, {}, n_frames)
        for i in leg.span.object_ids
    }


def test_one_mark_runs_both_ways():
    assert spans(marks((5, 1))) == [(5, 19, (1,), None), (5, 0, (1,), None)]


def test_marks_at_the_edges_have_one_arm():
    assert spans(marks((0, 1))) == [(0, 19, (1,), None)]
    assert spans(marks((19, 1))) == [(19, 0, (1,), None)]


def test_equal_spans_are_batched_whatever_their_order():
    said = marks((5, 3), (9, 2), (5, 1))
    assert spans(said, direction="forward") == [(5, 19, (1, 3), None), (9, 19, (2,), None)]


def test_the_later_of_two_marks_fuses_with_the_earlier():
    assert spans(marks((5, 1), (9, 1))) == [
        (5, 8, (1,), None),
        (5, 0, (1,), None),
        (9, 19, (1,), None),
        (9, 6, (1,), 5),
    ]
    assert spans(marks((9, 1), (5, 1))) == [
        (9, 19, (1,), None),
        (9, 6, (1,), None),
        (5, 8, (1,), 9),
        (5, 0, (1,), None),
    ]


def test_references_are_the_marks_so_far_in_order():
    legs = plan_legs(marks((9, 1), (5, 1), (15, 1)), {}, 20)
    assert [leg.span.references for leg in legs if leg.span.direction == 1] == [
        (9,),
        (9, 5),
        (9, 5, 15),
    ]


def test_neighbouring_marks_have_nothing_between():
    assert spans(marks((5, 1), (6, 1)), direction="forward") == [(6, 19, (1,), None)]


def test_a_new_mark_runs_what_it_touches():
    said = marks((5, 1), (5, 2))
    arms = done(said)
    assert spans(said, arms) == []
    said = {**said, (9, 1): Mark(PRESENT, 7)}
    assert spans(said, arms) == [(9, 19, (1,), None), (9, 6, (1,), 5)]


def test_a_repeated_mark_runs_again():
    said = marks((5, 1), (9, 1))
    arms = done(said)
    del arms[5, 1, 1]
    del arms[5, 1, -1]
    said[5, 1] = Mark(PRESENT, 9)
    assert spans(said, arms) == [(5, 8, (1,), 9), (5, 0, (1,), None)]


def test_absence_bounds_on_both_sides():
    assert spans(marks((5, 1), (9, -1), (2, -1))) == [(5, 8, (1,), None), (5, 3, (1,), None)]


def test_a_complete_frame_bounds_objects_that_come_later():
    said = {**marks((12, 1)), (4, ANY_OBJECT): Mark(ABSENT, 1), (4, 2): Mark(PRESENT, 1)}
    assert spans(said, direction="backward") == [(4, 0, (2,), None), (12, 5, (1,), None)]


def test_a_range_keeps_natural_ends_and_stops_early():
    (leg,) = plan_legs(marks((5, 1)), {}, 20, Reach((0, 8), "forward"))
    assert leg.span.end == 19
    assert leg.frames == range(6, 9)
    assert plan_legs(marks((5, 1)), {}, 20, Reach((8, 12), "forward")) == ()


def test_what_was_begun_is_gone_on_with():
    arms = {(5, 1, 1): Arm(8, "3-0", False), (5, 2, 1): Arm(8, "3-0", True)}
    legs = plan_legs(marks((5, 1), (5, 2)), arms, 20, Reach(direction="forward"))
    assert [(leg.span.object_ids, leg.span.done_until, leg.ended) for leg in legs] == [
        ((1,), 8, False),
        ((2,), 8, True),
    ]
    assert legs[0].frames == range(9, 20)
    assert legs[0].follows == "3-0"


def test_an_older_arm_fuses_with_what_a_newer_one_has_left():
    arms = {(5, 1, 1): Arm(7, "3-0", False), (5, 1, -1): Arm(0, "3-1", False)}
    said = marks((5, 1), (15, 1))
    arms |= {(15, 1, 1): Arm(19, "4-0", False), (15, 1, -1): Arm(12, "4-1", False)}
    assert spans(said, arms) == [(5, 14, (1,), 15), (15, 6, (1,), 5)]


def in_order(legs, rest=None):
    """The (first object, frame) of each step."""
    left = [list(leg.frames) for leg in legs] if rest is None else [list(each) for each in rest]
    order = list(nearest_first(legs, [tuple(each) for each in left]))
    return [(legs[index].span.object_ids[0], left[index].pop(0)) for index in order]


def test_the_two_sides_of_a_mark_take_turns():
    steps = in_order(plan_legs(marks((5, 1)), {}, 12))
    assert [t for _, t in steps] == [6, 4, 7, 8, 3, 2, 9, 10, 11, 1, 0]


def test_no_frame_waits_for_one_more_than_twice_as_far():
    frames = [t for _, t in in_order(plan_legs(marks((40, 1)), {}, 200))]
    assert sorted(frames) == [t for t in range(200) if t != 40]
    for position, t in enumerate(frames):
        nearer = {s for s in frames if 2 * abs(s - 40) <= abs(t - 40)}
        assert nearer <= set(frames[:position])


def test_legs_on_one_side_run_one_after_the_other():
    # Object 2 is gone on frame 2; so its leg to there isn't that of object 1.
    legs = plan_legs(marks((5, 1), (5, 2), (2, -2)), {}, 9)
    steps = in_order(legs)
    assert [t for i, t in steps if i == 1] == [6, 4, 7, 8, 3, 2, 1, 0]
    assert [t for i, t in steps if i == 2] == [4, 3]
    assert steps.index((2, 4)) > steps.index((1, 0))


def test_marks_of_other_objects_run_one_after_the_other():
    said = marks((2, 1), (6, 2), (2, 3), (6, 3))
    steps = in_order(plan_legs(said, {}, 9))
    # First marks first, each with its two sides; then the second one of object 3.
    assert [t for i, t in steps if i == 1] == [3, 1, 4, 5, 0, 6, 7, 8]
    assert [t for i, t in steps if i == 2] == [7, 5, 8, 4, 3, 2, 1, 0]
    last = [(3, t) for t in (7, 5, 8, 4, 3)]
    assert steps[-len(last) :] == last


def test_objects_with_the_same_user_frames_take_turns_together():
    said = marks((1, 1), (8, 2))
    said |= {(5, 1): Mark(PRESENT, 9), (5, 2): Mark(PRESENT, 9)}
    legs = [leg for leg in plan_legs(said, done(marks((1, 1), (8, 2)), 12), 12) if leg.passed == 2]
    steps = in_order(legs)
    assert steps == [(1, t) for t in (6, 4, 7, 8, 3, 2, 9, 10, 11)] + [
        (2, t) for t in (6, 4, 7, 3, 2, 1, 0)
    ]


def test_the_side_that_has_fallen_behind_goes_on_first():
    legs = plan_legs(marks((5, 1)), {}, 12)
    steps = in_order(legs, [range(10, 12), range(4, -1, -1)])
    assert [t for _, t in steps] == [4, 3, 2, 10, 11, 1, 0]


def test_legs_go_through_the_journal():
    leg = Leg(Span(5, 0, (1, 2), (9, 5), 9, 4), 2, True, "7-1")
    assert Leg.from_json(leg.to_json()) == leg
    for reach in (Reach(), Reach((3, 9), "backward")):
        assert Reach.from_json(reach.to_json()) == reach


@pytest.mark.parametrize(
    ("said", "frames"),
    [
        (marks((5, 1)), range(20)),
        (marks((5, 1), (9, -1)), [*range(9)]),
        (marks((5, 1), (9, -1), (15, 1)), [*range(9), *range(10, 20)]),
        (marks((5, 1), (9, -1), (12, -1), (15, 1)), [*range(9), *range(13, 20)]),
    ],
)
def test_evidence_needs_a_mark_that_speaks_for_it(said, frames):
    own = marks_of(said, 1)
    supported = [
        t
        for t in range(20)
        if (t in own and own[t].kind is PRESENT) or (t not in own and is_supported(own, t))
    ]
    assert supported == list(frames)

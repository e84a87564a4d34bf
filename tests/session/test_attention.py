from __future__ import annotations

import pytest

from napari_vos.session.attention import HALF, MOST_OBJECTS, doubt_left, worth_by_frame
from napari_vos.store.evidence import EndReason


def test_a_correction_mends_what_is_shared_and_near() -> None:
    worth = worth_by_frame({(3, 7): 0.5, (4, 7): 0.25, (6, 7): 1.0}, {7: (0,)})
    one, two, three = (HALF / (HALF + distance) for distance in (1, 2, 3))
    assert worth == pytest.approx(
        {
            3: 0.5 + 0.25 * one + 0.5 * three,
            4: 0.25 + 0.25 * one + 0.25 * two,
            6: 1.0 + 0.25 * two + 0.5 * three,
        }
    )
    # Beyond a user frame nothing changes.
    assert worth_by_frame({(3, 7): 0.5, (6, 7): 1.0}, {7: (0, 5)}) == {3: 0.5, 6: 1.0}


def test_the_middle_of_a_stretch_beats_its_rim_and_one_bad_frame() -> None:
    doubts = {(t, 7): 0.4 for t in range(1, 10)} | {(20, 7): 0.9}
    worth = worth_by_frame(doubts, {7: (0, 15)})
    assert max(worth, key=lambda t: worth[t]) == 5
    assert worth[5] > worth[1] == pytest.approx(worth[9])


def test_only_the_worst_objects_of_a_frame_count() -> None:
    few = {(3, i): 0.5 for i in range(1, MOST_OBJECTS + 1)}
    many = few | {(4, i): 0.4 for i in range(101, 101 + 3 * MOST_OBJECTS)}
    user_frames = {i: (0,) for _, i in many}
    worth = worth_by_frame(many, user_frames)
    assert worth == pytest.approx({3: 0.5 * MOST_OBJECTS, 4: 0.4 * MOST_OBJECTS})
    assert worth_by_frame({}, {}) == {}


def test_the_next_frame_and_the_one_after(session, blocks) -> None:
    assert session.next_frame() is None
    session.add_mask(0, blocks(o7=(2, 3)))
    assert session.next_frame() is None
    session.run()
    # The fake engine gets less sure with each frame.
    first = session.next_frame()
    assert first in range(6, 10)
    second = session.next_frame(skip={first})
    assert abs(first - second) == 1
    session.accept(range(5, 12))
    assert session.next_frame() in range(1, 5)
    session.accept(range(12), [7])
    assert session.next_frame() is None


def test_what_was_accepted_speaks_for_the_frames_around(session, blocks) -> None:
    session.add_mask(0, blocks(o7=(2, 3)))
    session.run()
    first = session.next_frame()
    session.accept(first, [7])
    assert abs(session.next_frame() - first) > 1


def test_a_correction_moves_attention_elsewhere(session, blocks) -> None:
    session.add_mask(0, blocks(o7=(2, 3)))
    session.run()
    session.add_mask(8, blocks(o7=(2, 14)))
    session.run()
    assert session.next_frame() in range(2, 7)


@pytest.mark.parametrize(("reason", "sent_to"), [("vanished", range(5, 12)), ("user", range(1, 4))])
def test_an_object_that_was_lost_is_looked_for(session, factory, blocks, reason, sent_to) -> None:
    factory.loses[(4, 7)] = EndReason(reason)
    session.add_mask(0, blocks(o7=(2, 3)))
    session.run()
    assert session.next_frame() in sent_to


def test_what_was_seen_and_left_is_hardly_in_doubt(session, blocks) -> None:
    session.add_mask(0, blocks(o7=(2, 3), o2=(12, 3)))
    session.run()
    first = session.next_frame()
    session.add_mask(first, blocks(o7=(2, 3 + first)))
    session.run()
    # Object 2 is as doubtful there as before, but the user has let it pass.
    assert abs(session.next_frame() - first) > 1
    assert doubt_left(4, ()) == 1
    assert doubt_left(4, (4,)) == 0
    assert doubt_left(7, (0, 10)) == 3 / (3 + HALF)

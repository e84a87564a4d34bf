from __future__ import annotations

import pytest

from napari_vos.session.attention import REACH, worth_by_frame


def test_worth_grows_with_doubt_objects_and_distance() -> None:
    doubts = {(1, 3): 0.5, (REACH, 3): 0.5, (3 * REACH, 3): 0.5, (REACH, 4): 0.25, (2, 4): 0.5}
    worth = worth_by_frame(doubts, {3: (0,), 4: (2,)})
    assert worth == pytest.approx(
        {1: 0.5 / REACH, REACH: 0.5 + 0.25 * (REACH - 2) / REACH, 3 * REACH: 0.5, 2: 0}
    )


def test_the_most_doubtful_frame_is_next_and_the_one_after(session, blocks) -> None:
    assert session.next_frame() is None
    session.add_mask(0, blocks(o7=(2, 3)))
    assert session.next_frame() is None
    session.run()
    # The fake engine gets less sure with each frame.
    assert session.next_frame() == 11
    assert session.next_frame(skip={11, 10}) == 9
    session.accept(range(5, 12))
    assert session.next_frame() == 4
    session.accept(range(12), [7])
    assert session.next_frame() is None


def test_a_correction_moves_attention_elsewhere(session, blocks) -> None:
    session.add_mask(0, blocks(o7=(2, 3)))
    session.run()
    session.add_mask(11, blocks(o7=(2, 14)))
    assert session.next_frame() in range(4, 9)

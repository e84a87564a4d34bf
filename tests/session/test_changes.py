"""What the latest step has changed, and what is accepted."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vos.errors import PromptError
from napari_vos.session import ObjectChange, PixelChange


def test_nothing_done_is_no_change(session):
    changes = session.changes()
    assert (changes.action, dict(changes.frames), str(changes)) == (
        "",
        {},
        "0 frames, 0 objects, 0 pixels",
    )
    assert not session.frame_change(3).before.any()


def test_a_round_tells_what_it_has_changed(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2), o2=(10, 5)))
    session.run()
    old = np.asarray(session.labels[:])
    session.add_mask(10, blocks(o1=(2, 18)))
    corrected = session.changes()
    assert corrected.action == "add_mask"
    assert corrected.frames == {10: {1: PixelChange(4, 4)}}
    assert str(corrected) == "1 frame, 1 object, 8 pixels"
    before_round = np.asarray(session.labels[:])
    session.run()
    new = np.asarray(session.labels[:])
    changes = session.changes()
    assert changes.action == "round"
    differ = [t for t in range(12) if (new[t] != before_round[t]).any()]
    assert sorted(changes.frames) == differ
    assert changes.object_ids == (1,)
    assert changes.n_pixels == np.count_nonzero(new != before_round)
    gained = np.count_nonzero((new == 1) & (before_round != 1))
    assert changes.by_object == {1: ObjectChange(len(differ), gained, gained)}
    assert np.array_equal(session.frame_change(differ[0]).before, old[differ[0]])
    assert np.array_equal(session.frame_change(differ[0]).after, new[differ[0]])
    session.undo()
    assert np.array_equal(session.labels[:], before_round)
    assert session.changes() == corrected


def test_a_running_round_tells_what_it_has_changed_so_far(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2)))
    results = session.propagate()
    next(results)
    next(results)
    assert sorted(session.changes().frames) == [1, 2]
    results.close()


def test_a_round_changes_nothing_that_is_accepted(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2), o2=(10, 5)))
    session.run()
    session.accept([6, 7], [1])
    session.accept(9)
    assert session.accepted(6) == {1}
    assert session.accepted(8) == frozenset()
    assert session.accepted(9) == {0, 1, 2}
    session.add_mask(2, blocks(o1=(12, 10), o2=(2, 12)))
    session.run()
    frames = session.changes().frames
    assert frames[3].keys() == {1, 2}
    assert frames[6].keys() == frames[7].keys() == {2}
    assert 9 not in frames


def test_a_frame_outside_is_refused(session):
    with pytest.raises(PromptError, match="Frame 12"):
        session.frame_change(12)
    with pytest.raises(PromptError, match="Frame -1"):
        session.accepted(-1)

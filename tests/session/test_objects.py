"""Objects as a whole: merged, split, ended, deleted; each one step."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vos.errors import PromptError
from napari_vos.session import Session
from napari_vos.store.evidence import EndReason, Source


def contents(session):
    ledger = session._ledger
    evidence = {
        (t, i): (item.box, item.probability.tobytes(), item.confidence, item.source)
        for t in range(ledger.n_frames)
        for i, item in ledger.objects(t).items()
    }
    state = ledger.history.state
    locks = {t: ids for t, ids in state.locks.items() if ids}
    marks, arms = dict(state.marks), dict(state.arms)
    return np.asarray(session.labels[:]).tobytes(), evidence, session.events, marks, arms, locks


def there(session, object_id):
    return [t for t in range(12) if (np.asarray(session.labels[t]) == object_id).any()]


def test_a_merged_object_is_both_everywhere(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2), o2=(6, 2), o3=(14, 2)))
    session.run()
    before = np.asarray(session.labels[:])
    session.merge_objects(1, 2)
    assert np.array_equal(session.labels[:], np.where(before == 2, 1, before))
    assert session.object_ids == (1, 3)
    assert session.user_frames(1) == (0,)
    assert not session.pending
    probability, box = session.probability(5, 1)
    assert box.shape == (8, 4)
    assert (probability > 0.5).all()


def test_two_tracks_of_one_object_become_one(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.run(frames=(0, 5))
    session.end_object(1, 5)
    session.add_mask(7, blocks(o2=(2, 14)))
    session.run(frames=(7, 9))
    session.merge_objects(1, 2)
    assert session.user_frames(1) == (0, 7)
    assert there(session, 1) == [0, 1, 2, 3, 4, 7, 8, 9]
    # That it is gone from frame 5 on was said before it was found to go on, and still holds there.
    assert [(event.t, event.reason) for event in session.ends] == [(5, EndReason.USER)]
    session.run()
    assert there(session, 1) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]


def test_where_the_other_goes_on_an_end_no_longer_holds(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2), o2=(2, 14)))
    session.run()
    session.end_object(1, 5)
    session.merge_objects(1, 2, frames=(5, 11))
    assert there(session, 1) == list(range(12))
    assert there(session, 2) == [0, 1, 2, 3, 4]
    assert not session.ends
    assert not session.pending


def test_an_object_may_be_merged_on_some_frames_alone(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2), o2=(6, 2)))
    session.run()
    before = np.asarray(session.labels[:])
    session.merge_objects(1, 2, frames=(3, 6))
    middle = slice(3, 7)
    expected = before.copy()
    expected[middle][before[middle] == 2] = 1
    assert np.array_equal(session.labels[:], expected)
    # It goes on from where the range has ended, and doesn't come back into it.
    assert session.user_frames(2) == (0, 7)
    session.add_mask(1, blocks(o2=(12, 2)))
    session.run()
    assert not np.isin(session.labels[middle], 2).any()
    assert (np.asarray(session.labels[8]) == 2).any()


def test_a_merge_of_marks_counts_as_the_users(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.add_mask(4, blocks(o2=(6, 8)))
    session.run()
    session.accept([4, 6], [2])
    session.merge_objects(1, 2)
    assert session.user_frames(1) == (0, 4)
    assert session._ledger.objects(4)[1].source is Source.USER
    assert session.confidence[4, 1] == 1
    assert 1 in session.accepted(6)
    assert 2 not in session.accepted(6)


def test_parents_go_with_their_objects(session, blocks):
    for object_id, first in {4: 0, 2: 3, 3: 6, 1: 9}.items():
        session.add_mask(first, blocks(**{f"o{object_id}": (2, 2)}))
        session.end_object(object_id, first + 1)
    session.accept_parents({2: 4, 3: 2})
    session.merge_objects(1, 2)
    assert session.parents == {1: 4, 3: 1}
    session.delete_object(4)
    assert session._ledger.history.state.parents == {3: 1}
    session.undo()
    assert session.parents == {1: 4, 3: 1}
    session.merge_objects(3, 1)
    assert session.parents == {3: 4}
    session.merge_objects(4, 3)
    assert session.parents == {}


def test_nobody_becomes_his_own_ancestor(session, blocks):
    for object_id, first in {1: 0, 2: 3, 3: 6}.items():
        session.add_mask(first, blocks(**{f"o{object_id}": (2, 2)}))
        session.end_object(object_id, first + 1)
    session.accept_parents({2: 1, 3: 2})
    session.merge_objects(1, 3)
    assert session.parents == {2: 1}


def test_a_part_gets_an_id_of_which_nothing_was_said(session, blocks):
    session.add_mask(0, blocks(o1=(2, 8), o2=(10, 2)))
    session.end_object(2, 0)
    assert session.object_ids == (1,)
    assert session.split_object(1, 0, [_left(), ~_left()]) == 3


@pytest.mark.parametrize(
    "act",
    [
        lambda session: session.merge_objects(1, 2),
        lambda session: session.merge_objects(1, 2, frames=(3, 6)),
        lambda session: session.split_object(1, 4, [_left(), ~_left()]),
        lambda session: session.end_object(1, 4),
        lambda session: session.delete_object(1),
    ],
)
def test_each_is_one_step_that_is_undone_replayed_and_reopened(frames, factory, blocks, act):
    with Session(frames) as session:
        session.add_mask(0, blocks(o1=(2, 2), o2=(6, 2), o3=(14, 2)))
        session.run()
        session.accept(2, [1, 2])
        before = contents(session)
        act(session)
        after = contents(session)
        assert after != before
        session.undo()
        assert contents(session) == before
        session.redo()
        assert contents(session) == after
        assert session.replay().identical
        session.run()
        assert session.replay().identical


def test_operations_are_saved(frames, factory, blocks, tmp_path):
    with Session(frames) as session:
        session.add_mask(0, blocks(o1=(2, 2), o2=(8, 2)))
        session.run()
        session.merge_objects(1, 2, frames=(3, 6))
        session.split_object(1, 4)
        session.save(tmp_path / "a")
        saved = contents(session)
    with Session.load(tmp_path / "a", frames) as session:
        assert contents(session) == saved
        session.undo()
        session.undo()
        assert session.object_ids == (1, 2)


def _left():
    columns = np.arange(40)
    return np.broadcast_to(columns < 10, (24, 40))


def test_connected_parts_become_two_objects_that_propagate(session, blocks):
    labels = blocks(o1=(2, 2), o3=(14, 2))
    labels[9:11, 3:5] = 1
    labels[12, 3] = 1  # a speck, nearer to the smaller part
    session.add_mask(0, labels)
    session.run()
    assert session.split_object(1, 0) == 4
    assert np.array_equal(session.labels[0] == 4, (labels == 1) & (np.arange(24) > 7)[:, None])
    assert session.user_frames(4) == (0,)
    others = np.asarray(session.labels[:]) == 3
    session.run()
    assert there(session, 4) == list(range(12))
    assert np.array_equal(np.asarray(session.labels[:]) == 3, others)
    assert (np.asarray(session.labels[5])[9:11] == 4).any()
    assert not (np.asarray(session.labels[5])[9:11] == 1).any()


def test_strokes_tell_the_parts(session, blocks):
    session.add_mask(3, blocks(o7=(2, 2)))
    one, other = np.zeros((2, 24, 40), bool)
    one[3, 0:4] = True  # reaches beyond the object
    other[3, 5] = True
    new = session.split_object(7, 3, [one, other])
    assert np.array_equal(session.labels[3][2:6, 2:6], [[7, 7, 7, new]] * 4)


def test_other_objects_keep_every_pixel(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2), o2=(6, 3)))
    session.run()
    second = np.asarray(session.labels[:]) == 2
    session.add_mask(6, blocks(o1=(4, 12)))
    second[6][4:8, 12:16] = False  # painted over
    session.run()
    assert np.array_equal(np.asarray(session.labels[:]) == 2, second)
    session.delete_object(1)
    assert np.array_equal(np.asarray(session.labels[:]) == 2, second)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda s: s.merge_objects(1, 1), "can't be merged with itself"),
        (lambda s: s.merge_objects(1, 9), "no object 9 in this session. Its objects: 1, 2"),
        (lambda s: s.merge_objects(1, 2, frames=(3, 12)), "Frame 12 is outside"),
        (lambda s: s.merge_objects(1, 2, frames=(6, 3)), "range 6-3 holds no frame"),
        (lambda s: s.merge_objects(1, 2, frames=(0, 3)), "isn't on any of the frames 0-3"),
        (lambda s: s.split_object(9, 0), "no object 9"),
        (lambda s: s.split_object(1, 12), "Frame 12 is outside"),
        (lambda s: s.split_object(2, 0), "isn't on frame 0"),
        (lambda s: s.split_object(1, 0), "one piece of object 1 on frame 0.*stroke on each"),
        (lambda s: s.split_object(1, 0, [_left()]), "expected two masks of"),
        (lambda s: s.split_object(1, 0, [_left(), np.ones((4, 4))]), "expected two masks of"),
        (lambda s: s.split_object(1, 0, [_left(), ~_left()]), "16 and 0 of its pixels"),
        (lambda s: s.split_object(1, 0, [_left(), _left()]), "16 of them in both"),
        (lambda s: s.end_object(9, 0), "no object 9"),
        (lambda s: s.end_object(1, 12), "Frame 12 is outside"),
    ],
)
def test_what_cannot_be_done_is_refused(session, blocks, act, message):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.add_mask(8, blocks(o2=(6, 3)))
    before = contents(session)
    with pytest.raises(PromptError, match=message):
        act(session)
    assert contents(session) == before

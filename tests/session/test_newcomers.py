"""Newcomers that a detector finds, with a detector and an engine without a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_vos.engines.base import FrameInstances
from napari_vos.errors import PromptError, WeightsError
from napari_vos.session import Session
from napari_vos.session.lineage import Place, match_parents
from napari_vos.store.evidence import EndReason, Source


class Eyes:
    """Sees what it is told, by frame: labels (Y, X), and the score of all."""

    def __init__(self) -> None:
        self.shown: dict[int, np.ndarray] = {}
        self.looked: list[int] = []
        self.asked: list[dict[str, Any]] = []
        self.score = 0.8
        self.plan = {"engine": "eyes"}

    def __call__(self, name: str, frames: Any, **arguments: Any) -> Eyes:
        self.asked.append({"name": name, **arguments})
        self.shape = frames.shape
        return self

    def detect(self, t: int) -> Eyes:
        self.looked.append(t)
        return self

    def instances(self, *, score: float, overlap: float) -> FrameInstances:
        labels = self.shown.get(self.looked[-1], np.zeros(self.shape, np.uint16))
        if self.score <= score:
            labels = np.zeros_like(labels)
        _, labels = np.unique(labels, return_inverse=True)
        labels = labels.reshape(self.shape).astype(np.uint16)
        n = int(labels.max())
        nothing = np.zeros((n, 4), np.float32)
        return FrameInstances(labels, np.full(n, self.score, np.float32), nothing[:, 0], nothing)


@pytest.fixture
def eyes(monkeypatch) -> Eyes:
    eyes = Eyes()
    monkeypatch.setattr("napari_vos.engines.create_detector", eyes)
    return eyes


def test_what_no_object_explains_becomes_one(session, blocks, eyes):
    session.add_mask(0, blocks(o7=(2, 2)))
    session.run()
    eyes.shown = {5: blocks(o1=(2, 9), o2=(15, 20)), 10: blocks(o1=(2, 16), o3=(15, 22))}
    before = np.asarray(session.labels[:])
    survey = session.find_newcomers()
    assert eyes.looked == [0, 5, 10]
    assert np.array_equal(session.labels[:], before)  # nothing has changed
    # The one on frame 10 lies where that of frame 5 was: it is the same.
    [newcomer] = survey.newcomers
    assert (newcomer.object_id, newcomer.t, newcomer.box) == (8, 5, (15, 20, 19, 24))
    assert newcomer.score == pytest.approx(0.8)
    session.add_newcomers(survey)
    assert np.array_equal(session.labels[5], before[5] + blocks(o8=(15, 20)))
    assert session.confidence[5, 8] == pytest.approx(0.8)
    assert session.user_frames() == (0,)
    session.run()
    assert all(8 in np.unique(frame) for frame in session.labels[:])
    others = np.where(np.asarray(session.labels[:]) == 8, 0, session.labels[:])
    assert np.array_equal(others, before)


def test_one_undo_takes_all_newcomers_back(session, blocks, eyes):
    session.add_mask(0, blocks(o7=(2, 2)))
    session.run()
    before = np.asarray(session.labels[:]), session.confidence
    eyes.shown = {0: blocks(o1=(15, 2)), 5: blocks(o1=(2, 9)), 10: blocks(o1=(10, 30))}
    session.add_newcomers(session.find_newcomers())
    assert session.object_ids == (7, 8, 9)
    session.undo()
    assert session.object_ids == (7,)
    assert np.array_equal(session.labels[:], before[0])
    assert session.confidence == before[1]
    session.redo()
    assert session.object_ids == (7, 8, 9)


def test_confirmed_objects_gain_confidence_once(session, blocks, eyes):
    session.add_mask(0, blocks(o7=(2, 2)))
    session.run()
    eyes.shown = {0: blocks(o1=(2, 2)), 5: blocks(o1=(2, 9))}
    survey = session.find_newcomers()
    assert not survey.newcomers
    # All that the user has said is certain anyway.
    assert survey.confirmed == {(5, 7): pytest.approx(0.8)}
    old = session.confidence
    session.add_newcomers(survey)
    new = session.confidence
    assert new[5, 7] == pytest.approx(old[5, 7] + 0.8 * (1 - old[5, 7]))
    assert {key: value for key, value in new.items() if key != (5, 7)} == {
        key: value for key, value in old.items() if key != (5, 7)
    }
    session.add_newcomers(session.find_newcomers())
    assert session.confidence == new


def test_objects_are_confirmed_before_newcomers_are_accepted(frames, factory, blocks, eyes):
    eyes.shown = {5: blocks(o1=(2, 9), o2=(15, 20))}
    with Session(frames) as session:
        session.add_mask(0, blocks(o7=(2, 2)))
        session.run()
        old = session.confidence
        survey = session.find_newcomers()
        session.confirm_objects(survey)
        sure = session.confidence
        assert sure[5, 7] == pytest.approx(old[5, 7] + 0.8 * (1 - old[5, 7]))
        assert session.object_ids == (7,)
        # Once, whatever is found or accepted afterwards.
        session.confirm_objects(session.find_newcomers(score=0.3))
        session.add_newcomers(survey)
        assert session.confidence[5, 7] == sure[5, 7]
        session.undo()
        session.undo()
        assert session.confidence == old
        # Nobody has said what becomes of the newcomers of these frames.
        session.redo()
        list(session.follow_newcomers())
        assert session.object_ids == (7, 8)
        assert session.replay().identical


@pytest.mark.parametrize(("shift", "is_new"), [(1, False), (2, False), (3, True)])
def test_explained_is_what_objects_cover(session, blocks, eyes, shift, is_new):
    session.add_mask(0, blocks(o7=(2, 2)))
    eyes.shown = {0: blocks(o1=(2, 2 + shift))}
    survey = session.find_newcomers()
    assert bool(survey.newcomers) is is_new
    session.add_newcomers(survey)
    assert np.array_equal(session.labels[0] == 7, blocks(o7=(2, 2)) == 7)
    assert np.count_nonzero(session.labels[0]) == (16 + 12 if is_new else 16)


def test_some_of_a_survey(session, blocks, eyes):
    session.add_mask(0, blocks(o7=(2, 2)))
    eyes.shown = {0: blocks(o1=(2, 20), o2=(15, 2), o3=(15, 20))}
    survey = session.find_newcomers()
    session.add_newcomers(survey.only({8, 10}))
    assert session.object_ids == (7, 8, 10)


def test_ids_that_are_taken_by_then_are_given_anew(session, blocks, eyes):
    session.add_mask(0, blocks(o7=(2, 2)))
    eyes.shown = {0: blocks(o1=(15, 2), o2=(15, 20))}
    survey = session.find_newcomers()
    session.add_mask(0, blocks(o8=(15, 20)))
    session.add_newcomers(survey)  # of the second one nothing is left
    assert session.object_ids == (7, 8, 9)
    assert np.array_equal(session.labels[0], blocks(o7=(2, 2), o8=(15, 20), o9=(15, 2)))


def test_where_all_is_right_nothing_is_looked_for(session, blocks, eyes):
    session.add_mask(0, blocks(o7=(2, 2)), complete=True)
    session.run()
    session.accept(10)
    session.accept(5, [7])
    session.find_newcomers()
    assert eyes.looked == [5]


def test_a_newcomer_that_is_part_of_an_object_is_still_no_users_word(session, blocks, eyes):
    session.add_mask(0, blocks(o7=(2, 2)))
    session.run()
    eyes.shown = {5: blocks(o1=(15, 20))}
    session.add_newcomers(session.find_newcomers())
    session.merge_objects(7, 8)
    assert session.user_frames() == (0,)
    assert session.confidence[5, 7] <= 0.8


def test_ids_run_out(session, blocks, eyes, monkeypatch):
    session.add_mask(0, blocks(o65535=(2, 2), o1=(2, 20)))
    eyes.shown = {0: blocks(o1=(15, 2))}
    assert session.find_newcomers().newcomers[0].object_id == 2
    monkeypatch.setattr("napari_vos.session.marks.MAX_OBJECT_ID", 2)
    session.delete_object(65535)
    session.add_mask(0, blocks(o2=(2, 2)))
    with pytest.raises(PromptError, match="no id left for a new object: ids go up to 2"):
        session.find_newcomers()


def test_following_newcomers(session, blocks, eyes):
    session.add_mask(0, blocks(o7=(2, 2)))
    eyes.shown = {
        t: blocks(o1=(2, column), o2=(15, other))
        for t, column, other in ((0, 2, 2), (4, 8, 8), (8, 14, 14))
    }
    eyes.shown[8] += blocks(o3=(8, 30))
    seen = [progress.t for progress in session.follow_newcomers(every=4)]
    # Propagated, looked at 0, propagated, looked at 4 and at 8, propagated.
    nearest = [9, 7, 10, 11, *range(6, -1, -1)]
    assert seen == [*range(1, 12), 0, *range(1, 12), 4, 8, *nearest]
    assert session.object_ids == (7, 8, 9)
    assert not session.pending
    assert list(session.follow_newcomers(every=4)) == []
    assert [progress.t for progress in session.follow_newcomers(every=6)] == [0, 6]
    session.add_mask(11, blocks(o7=(4, 20)))
    assert [p.t for p in session.follow_newcomers(every=4) if not p.object_ids] == [0, 4, 8]


def test_following_goes_on_where_it_was_stopped(frames, factory, blocks, eyes):
    eyes.shown = {t: blocks(o1=(15, 2 + 3 * (t // 2)), o3=(8, 30 - 2 * t)) for t in range(12)}
    with Session(frames) as whole, Session(frames) as broken:
        for session in (whole, broken):
            session.add_mask(0, blocks(o7=(2, 2)))
        for _ in whole.follow_newcomers(every=3):
            pass
        for n in (5, 13, 14, 30):
            steps = broken.follow_newcomers(every=3)
            for _ in zip(range(n), steps, strict=False):
                pass
            steps.close()
        for _ in broken.follow_newcomers(every=3):
            pass
        assert np.array_equal(whole.labels[:], broken.labels[:])
        assert whole.object_ids == broken.object_ids
        assert len(whole.object_ids) > 2


def test_a_session_may_begin_with_newcomers_alone(session, blocks, eyes):
    eyes.shown = {0: blocks(o1=(2, 2), o2=(15, 2))}
    for _ in session.follow_newcomers():
        pass
    assert session.object_ids == (1, 2)
    assert session.user_frames() == ()
    assert session.next_frame() is not None
    assert session.confidence[0, 1] == pytest.approx(0.8)


def test_within_a_range(session, blocks, eyes):
    session.add_mask(4, blocks(o7=(2, 2)))
    eyes.shown = {t: blocks(o1=(15, 20)) for t in range(12)}
    for _ in session.follow_newcomers(every=2, frames=(4, 8)):
        pass
    assert eyes.looked == [4, 6, 8]
    assert {t for t, _ in session.confidence} == set(range(4, 9))


def test_newcomers_are_told_in_journal_folder_and_table(frames, factory, blocks, eyes, tmp_path):
    with Session(frames, folder=tmp_path / "one") as session:
        session.add_mask(0, blocks(o7=(2, 2)))
        session.run()
        eyes.shown = {0: blocks(o1=(15, 2)), 5: blocks(o1=(2, 9))}
        session.add_newcomers(session.find_newcomers())
        session.run()
        session.delete_object(7)
        labels, confidence = np.asarray(session.labels[:]), session.confidence
        table = {(row.t, row.id): row.source for row in session.table()}
        report = session.replay(tmp_path / "again")
        assert report.identical
    assert table[0, 8] == Source.DETECTED
    assert table[1, 8] == Source.PROPAGATED
    for name in ("one", "again"):
        with Session.load(tmp_path / name, frames) as loaded:
            assert np.array_equal(loaded.labels[:], labels)
            assert loaded.confidence == confidence


def test_the_detector_is_chosen_and_told_the_size_of_cells(session, blocks, eyes):
    session.add_mask(0, blocks(o7=(2, 2), o8=(10, 2)))
    session.find_newcomers()
    assert eyes.asked[-1]["name"] == "cells"
    assert eyes.asked[-1]["config"].diameter == pytest.approx(2 * np.sqrt(16 / np.pi))
    session.find_newcomers()
    assert len(eyes.asked) == 1
    session.choose_detector("yolact", weights="published.pth", device="cpu")
    session.find_newcomers()
    assert eyes.asked[-1]["name"] == "yolact"
    assert eyes.asked[-1]["config"] is None
    assert eyes.asked[-1]["weights"] == "published.pth"


def test_a_detector_that_was_trained_again_is_loaded_again(session, blocks, eyes, tmp_path):
    session.add_mask(0, blocks(o7=(2, 2)))
    weights = tmp_path / "cells.safetensors"
    for content, n_loaded in ((b"old", 1), (b"old", 1), (b"new", 2)):
        weights.write_bytes(content)
        session.choose_detector(weights=weights)
        session.find_newcomers()
        assert len(eyes.asked) == n_loaded


def test_following_again_looks_for_cells_of_the_same_size(frames, factory, blocks, eyes, tmp_path):
    large = np.repeat(np.repeat(blocks(o1=(4, 8)), 2, axis=0), 2, axis=1)[: frames.shape[0], :40]
    eyes.shown = {5: large}
    with Session(frames, folder=tmp_path / "one") as session:
        session.add_mask(0, blocks(o7=(2, 2)))
        list(session.follow_newcomers())
        assert session.object_ids == (7, 8)
        assert (np.asarray(session.labels[0]) == 8).any()
    with Session.load(tmp_path / "one", frames) as session:
        eyes.looked.clear()
        list(session.follow_newcomers())
    first, again = (asked["config"].diameter for asked in eyes.asked)
    assert again == first


def test_the_size_of_cells_is_that_of_all_marked_by_now(session, blocks, eyes):
    small = blocks(o1=(2, 2))
    for t, labels in enumerate([small, np.repeat(small, 2, axis=0)[: len(small)]]):
        session.add_mask(t, labels)
        session.find_newcomers(frames=(t, t))
        session.find_newcomers(frames=(t, t))
    first, second = (asked["config"].diameter for asked in eyes.asked)
    assert second > first


def test_the_detector_is_kept_with_the_session(frames, factory, eyes, tmp_path):
    with Session(frames, folder=tmp_path / "one") as session:
        session.choose_detector("yolact", device="cpu")
    with Session.load(tmp_path / "one", frames) as session:
        session.find_newcomers()
    assert eyes.asked[-1]["name"] == "yolact"
    assert eyes.asked[-1]["device"] == "cpu"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"every": 0}, "every 0 frames; expected at least 1"),
        ({"score": 1.5}, "score is 1.5; expected from 0 to 1"),
        ({"overlap": -1.0}, "overlap is -1.0; expected from 0 to 1"),
        ({"frames": (3, 12)}, r"12.*0-11"),
        ({"frames": (6, 3)}, "range 6-3"),
    ],
)
def test_searches_that_cannot_be_made(session, blocks, eyes, options, told):
    session.add_mask(0, blocks(o7=(2, 2)))
    with pytest.raises(PromptError, match=told):
        session.find_newcomers(**options)
    with pytest.raises(PromptError, match=told):
        list(session.follow_newcomers(**options))


def test_without_weights(session, blocks):
    session.add_mask(0, blocks(o7=(2, 2)))
    session.choose_detector("yolact")
    with pytest.raises(WeightsError, match="name a file"):
        session.find_newcomers()


def test_frames_that_objects_have_not_reached_are_left_out(session, blocks, eyes):
    eyes.shown = {t: blocks(o1=(15, 20)) for t in range(12)}
    session.add_mask(0, blocks(o7=(2, 2)))
    for _ in session.propagate(frames=(0, 6)):
        pass
    assert session.find_newcomers(every=3).frames == (0, 3, 6)
    session.run()
    assert session.find_newcomers(every=3).frames == (0, 3, 6, 9)


def test_frames_without_instances(session, blocks, eyes):
    session.add_mask(0, blocks(o7=(2, 2)))
    session.run()
    survey = session.find_newcomers()
    assert survey.frames == (0, 5, 10)
    assert not survey.newcomers
    session.add_newcomers(survey)
    assert session.object_ids == (7,)


def test_a_newcomer_beside_an_end_is_told_its_parent(session, blocks, eyes):
    session.add_mask(0, blocks(o7=(8, 10)))
    session.run()
    session.end_object(7, 4)
    left = int(np.nonzero(np.asarray(session.labels[3]) == 7)[1].min())
    eyes.shown = {5: blocks(o1=(4, left), o2=(12, left), o3=(20, 36))}
    survey = session.find_newcomers()
    assert [each.parent for each in survey.newcomers] == [7, 7, None]
    assert session.ends[0].reason is EndReason.USER


def test_nearest_pairs_first_and_no_more_than_two_children():
    begun = {i: Place(5, 10.0, 10.0 + 2 * i, 100) for i in range(4)}
    ended = {9: Place(4, 10.0, 10.0, 100)}
    assert [each.child for each in match_parents(begun, ended)] == [0, 1]
    assert match_parents(begun, {9: Place(0, 10.0, 10.0, 100)}) == ()
    assert match_parents(begun, {9: Place(5, 10.0, 10.0, 100)}) == ()
    assert match_parents(begun, {9: Place(4, 10.0, 60.0, 100)}) == ()

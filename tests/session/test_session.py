from __future__ import annotations

import threading

import numpy as np
import pytest
import tifffile

from napari_vos.errors import FramesError, NapariVosError, PromptError, StoreError
from napari_vos.session import Finish, Session
from napari_vos.store.evidence import Box, EndReason, Source


def snapshot(session):
    """All that undo and resuming have to bring back, bit for bit."""
    ledger = session._ledger
    evidence = {}
    for t in range(ledger.n_frames):
        for i, item in ledger.objects(t).items():
            evidence[t, i] = (item.box, item.probability.tobytes(), item.confidence, item.source)
    state = ledger.history.state
    return (
        np.asarray(session.labels[:]).tobytes(),
        evidence,
        session.confidence,
        session.events,
        dict(state.marks),
        {t: ids for t, ids in state.locks.items() if ids},
    )


def begun(factory):
    """The spans the engine was given, without those in which it went on."""
    return [span for span in factory.spans if span.done_until is None]


def test_a_painted_frame_is_there_at_once(session, blocks):
    painted = blocks(o7=(2, 3), o65535=(10, 20))
    session.add_mask(3, painted)
    assert np.array_equal(session.labels[3], painted)
    assert session.object_ids == (7, 65535)
    assert session.user_frames() == (3,)
    probability, box = session.probability(3, 7)
    assert box == Box(2, 3, 6, 7)
    assert probability.dtype == np.float16
    assert (probability == 1).all()
    assert session.confidence == {(3, 7): 1.0, (3, 65535): 1.0}


def test_propagation_reaches_every_frame(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2), o2=(10, 5)))
    results = list(session.propagate())
    assert [result.t for result in results] == list(range(1, 12))
    assert [result.n_done for result in results] == list(range(1, 12))
    assert {result.n_total for result in results} == {11}
    assert results[0].object_ids == (1, 2)
    # The fake engine says 0.98 of masks that are as probable as 0.96.
    assert results[0].confidence[1] == pytest.approx(0.98 * 0.96, abs=1e-3)
    # Steps of one and two pixels in turn: the engine has read its state back.
    for t, column in ((1, 3), (2, 5), (3, 6), (11, 18)):
        assert np.array_equal(session.labels[t], blocks(o1=(2, column), o2=(10, column + 3)))


def test_objects_of_one_span_run_together(session, blocks, factory):
    session.add_mask(4, blocks(o1=(2, 15), o2=(10, 15)))
    session.run()
    assert [(s.start, s.end, s.object_ids, s.references) for s in begun(factory)] == [
        (4, 11, (1, 2), (4,)),
        (4, 0, (1, 2), (4,)),
    ]


def test_a_second_prompt_runs_only_its_own_spans(session, blocks, factory):
    session.add_mask(0, blocks(o1=(2, 2), o2=(10, 2)))
    session.run()
    before = {t: session.probability(t, 2)[0].tobytes() for t in range(12)}
    session.add_mask(6, blocks(o1=(2, 12)))
    factory.latest.spans.clear()
    session.run()
    assert [(s.start, s.end, s.object_ids, s.references, s.fuse_with) for s in begun(factory)] == [
        (6, 11, (1,), (0, 6), None),
        (6, 1, (1,), (0, 6), 0),
    ]
    assert {t: session.probability(t, 2)[0].tobytes() for t in range(12)} == before
    assert not session.pending


def test_a_newcomer_runs_both_ways_and_leaves_others_alone(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.run()
    before = [session.probability(t, 1) for t in range(12)]
    session.add_mask(5, blocks(o9=(15, 20)))
    assert [result.t for result in session.propagate()] == [6, 4, 7, 8, 3, 2, 9, 10, 11, 1, 0]
    for t, (probability, box) in enumerate(before):
        after, box_after = session.probability(t, 1)
        assert box_after == box
        assert after.tobytes() == probability.tobytes()
        assert set(np.unique(session.labels[t])) == {0, 1, 9}


def test_fusion_sees_what_was_there_before_its_pass(session, blocks, factory):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.add_mask(8, blocks(o1=(2, 20)))
    session.run()
    spans = [(s.start, s.end, s.references, s.fuse_with) for s in begun(factory)]
    assert spans == [(0, 7, (0,), None), (8, 11, (0, 8), None), (8, 1, (0, 8), 0)]
    # In the second pass frames 1 to 7 hold what the first has left there.
    assert all(factory.latest.seen_before[t, 1] for t in range(1, 8))


def test_one_span_is_open_at_a_time(session, blocks, fake, monkeypatch):
    n_open = []
    propagate = fake.WalkingPropagator.propagate

    def counted(self, span, evidence):
        assert not n_open
        n_open.append(span)
        try:
            yield from propagate(self, span, evidence)
        finally:
            n_open.pop()

    monkeypatch.setattr(fake.WalkingPropagator, "propagate", counted)
    session.add_mask(5, blocks(o1=(2, 15), o2=(10, 15)))
    assert len(list(session.propagate())) == 11
    assert not n_open


def test_two_prompts_at_once_equal_one_after_the_other(frames, factory, blocks):
    with Session(frames) as together, Session(frames) as in_turn:
        together.add_mask(0, blocks(o1=(2, 2)))
        together.add_mask(8, blocks(o1=(3, 20)))
        together.run()
        in_turn.add_mask(0, blocks(o1=(2, 2)))
        in_turn.run()
        in_turn.add_mask(8, blocks(o1=(3, 20)))
        in_turn.run()
        assert np.array_equal(together.labels[:], in_turn.labels[:])
        assert together.confidence == in_turn.confidence


def test_the_users_pixels_win(session, blocks):
    session.add_mask(2, blocks(o1=(4, 4)))
    session.add_mask(2, blocks(o2=(6, 6)))
    expected = blocks(o1=(4, 4), o2=(6, 6))
    assert np.array_equal(session.labels[2], expected)
    assert session.probability(2, 1, Box(6, 6, 8, 8))[0].max() == 0


def test_an_object_painted_over_is_no_longer_marked(session, blocks):
    session.add_mask(0, blocks(o1=(4, 4), o3=(12, 4)))
    session.run()
    session.add_mask(0, blocks(o2=(4, 4)))
    assert session.object_ids == (2, 3)
    assert not np.isin(session.labels[:], 1).any()
    session.undo()
    assert session.object_ids == (1, 3)
    assert (np.asarray(session.labels[:]) == 1).any(axis=(1, 2)).all()


def test_complete_means_gone_from_there_on(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2), o2=(10, 2)))
    session.run()
    session.add_mask(5, blocks(o1=(2, 10)), complete=True)
    there = [(np.asarray(session.labels[t]) == 2).any() for t in range(12)]
    assert there == [True] * 5 + [False] * 7
    assert [(e.t, e.object_id, e.reason, e.direction) for e in session.ends] == [
        (5, 2, EndReason.USER, 1)
    ]
    # Whoever comes later wasn't on the complete frame either.
    session.add_mask(9, blocks(o3=(18, 20)))
    assert {span.end for span in session.pending if 3 in span.object_ids} == {11, 6}


def test_not_said_is_not_gone(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2), o2=(10, 2)))
    session.run()
    session.add_mask(5, blocks(o1=(2, 10)))
    assert (np.asarray(session.labels[:]) == 2).any(axis=(1, 2)).all()


def test_an_object_that_leaves_ends_and_loses_older_evidence(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2), o2=(10, 2)))
    session.run()
    assert not session.ends
    session.add_mask(5, blocks(o1=(2, 34)))
    results = list(session.propagate(direction="forward"))
    assert [result.t for result in results] == list(range(6, 12))
    there = [(np.asarray(session.labels[t]) == 1).any() for t in range(12)]
    assert there == [True] * 9 + [False] * 3
    assert [(e.t, e.object_id, e.reason) for e in session.ends] == [(9, 1, EndReason.LEFT)]
    assert (np.asarray(session.labels[:]) == 2).any(axis=(1, 2)).all()
    assert session.probability(11, 1)[1] == Box(0, 0, 0, 0)


def test_an_ended_object_is_cleared_beyond_the_range_when_its_turn_comes(session, blocks, factory):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.run()
    session.add_mask(5, blocks(o1=(2, 34)))
    session.run(frames=(5, 9), direction="forward")
    assert (np.asarray(session.labels[10]) == 1).any()
    spans = len(factory.spans)
    session.run(direction="forward")
    assert not np.isin(session.labels[9:], 1).any()
    assert len(factory.spans) == spans


def test_a_range_leaves_the_rest_pending(session, blocks, factory):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.run(frames=(0, 4))
    assert [span.frames for span in session.pending] == [range(5, 12)]
    assert not np.asarray(session.labels[5]).any()
    # Frames that can only be reached through others wait for those.
    assert list(session.propagate(frames=(8, 11))) == []
    session.run()
    assert np.array_equal(session.labels[11], blocks(o1=(2, 18)))
    assert factory.spans[-1].done_until == 4
    assert not session.pending


def test_a_direction_leaves_the_other_pending(session, blocks):
    session.add_mask(5, blocks(o1=(2, 15)))
    session.run(direction="backward")
    assert [(span.start, span.direction) for span in session.pending] == [(5, 1)]


def test_nothing_pending_yields_nothing(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.run()
    steps = len(session._ledger.folder.journal.lines)
    assert list(session.propagate()) == []
    assert len(session._ledger.folder.journal.lines) == steps


def test_undo_and_redo_are_bit_for_bit(session, blocks):
    states = [snapshot(session)]

    def step(action):
        action()
        states.append(snapshot(session))

    step(lambda: session.add_mask(0, blocks(o1=(2, 2), o2=(10, 5))))
    step(session.run)
    step(lambda: session.accept(4))
    step(lambda: session.add_mask(6, blocks(o1=(2, 14), o2=(8, 12))))
    step(session.run)
    step(lambda: session.end_object(2, 9))
    step(lambda: session.delete_object(1))
    assert len({repr(state) for state in states}) == len(states)
    for state in reversed(states[:-1]):
        session.undo()
        assert snapshot(session) == state
    assert not session.can_undo
    for state in states[1:]:
        session.redo()
        assert snapshot(session) == state
    assert not session.can_redo


def test_a_new_action_drops_redo(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.run()
    session.undo()
    assert session.can_redo
    session.add_mask(1, blocks(o1=(2, 2)))
    assert not session.can_redo
    # The files of the dropped round are gone too.
    assert len(session._ledger.folder.versions.names) == 2
    with pytest.raises(PromptError, match="nothing to redo"):
        session.redo()


def test_undo_of_nothing_says_so(session):
    with pytest.raises(PromptError, match="nothing to undo"):
        session.undo()


def test_undone_marks_are_pending_again(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.run()
    session.undo()
    assert [span.frames for span in session.pending] == [range(1, 12)]
    session.run()
    assert np.array_equal(session.labels[11], blocks(o1=(2, 18)))


def test_a_locked_object_keeps_its_pixels_and_gains_none(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2), o2=(10, 5)))
    session.run()
    session.accept([4, 5], [1])
    locked = {t: np.asarray(session.labels[t]) == 1 for t in (4, 5)}
    evidence = session.probability(4, 1)[0].tobytes()
    # Object 1 now runs another way, object 3 right through where it was.
    session.add_mask(2, blocks(o1=(18, 10), o3=(2, 4)))
    session.run()
    for t in (4, 5):
        assert np.array_equal(np.asarray(session.labels[t]) == 1, locked[t])
    assert session.probability(4, 1)[0].tobytes() == evidence
    # It goes its new way up to there, and on from what was accepted.
    assert (np.asarray(session.labels[3]) == 1)[18:22].any()
    assert (np.asarray(session.labels[6]) == 1)[2:6].any()
    assert (np.asarray(session.labels[3]) == 3).any()


def test_an_accepted_frame_changes_no_pixel(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.run()
    session.accept(4)
    frame = np.asarray(session.labels[4])
    session.add_mask(2, blocks(o1=(12, 10), o3=(18, 4)))
    session.run()
    assert np.array_equal(session.labels[4], frame)
    # The newcomer went through all the same.
    assert (np.asarray(session.labels[5]) == 3).any()


def test_the_user_may_paint_on_an_accepted_frame(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.run()
    session.accept(4)
    session.add_mask(4, blocks(o1=(3, 3)))
    assert np.array_equal(session.labels[4], blocks(o1=(3, 3)))
    session.add_mask(2, blocks(o1=(12, 10)))
    session.run()
    assert np.array_equal(session.labels[4], blocks(o1=(3, 3)))


def test_deleting_an_object_takes_all_of_it(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2), o2=(10, 5)))
    session.run()
    session.accept(3, [1])
    session.delete_object(1)
    assert session.object_ids == (2,)
    assert not np.isin(session.labels[:], 1).any()
    assert {i for _, i in session.confidence} == {2}
    with pytest.raises(PromptError, match="no object 1"):
        session.probability(0, 1)


def test_ending_an_object_holds_until_its_next_mark(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.add_mask(9, blocks(o1=(2, 18)))
    session.run()
    session.end_object(1, 4)
    there = [(np.asarray(session.labels[t]) == 1).any() for t in range(12)]
    assert there == [True] * 4 + [False] * 5 + [True] * 3
    assert not session.pending


def test_table_tells_of_every_object(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.run(frames=(0, 1))
    assert list(session.table()) == [
        (0, 1, 16, 3.5, 3.5, 1.0, "user"),
        (1, 1, 16, 3.5, 4.5, pytest.approx(0.98 * 0.96, abs=1e-3), "propagated"),
    ]
    assert session._ledger.index(0).entries[1].source is Source.USER


def test_a_window_is_cut_or_padded(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2)))
    probability, box = session.probability(0, 1, Box(0, 0, 4, 4))
    assert box == Box(0, 0, 4, 4)
    assert probability.sum() == 4
    assert session.probability(1, 1, Box(0, 0, 2, 3))[0].shape == (2, 3)


def test_signals_tell_what_happens(session, blocks):
    heard = []
    session.frame_written.connect(lambda t: heard.append(t))
    session.round_started.connect(lambda: heard.append("start"))
    session.round_finished.connect(lambda finish: heard.append(finish))
    session.prompts_changed.connect(lambda: heard.append("prompts"))
    session.add_mask(0, blocks(o1=(2, 2)))
    session.run(frames=(0, 2))
    results = session.propagate()
    next(results)
    results.close()
    assert heard == [0, "prompts", "start", 1, 2, Finish.COMPLETED, "start", 3, Finish.CANCELLED]


def test_a_listener_may_act_when_the_round_has_finished(session, blocks):
    session.round_finished.connect(lambda finish: session.undo())
    session.add_mask(0, blocks(o1=(2, 2)))
    session.run()
    assert not np.asarray(session.labels[1:]).any()


@pytest.mark.parametrize(
    "act",
    [
        lambda session, labels: session.add_mask(1, labels),
        lambda session, labels: session.undo(),
        lambda session, labels: next(session.propagate()),
        lambda session, labels: session.close(),
    ],
)
def test_nothing_else_goes_on_while_a_round_runs(session, blocks, act):
    session.add_mask(0, blocks(o1=(2, 2)))
    results = session.propagate()
    next(results)
    with pytest.raises(NapariVosError, match="'phase' is being propagated"):
        act(session, blocks(o1=(2, 2)))
    results.close()
    session.undo()


def test_results_can_be_read_while_a_worker_runs(session, blocks, factory):
    session.add_mask(0, blocks(o1=(2, 2), o2=(10, 5)))
    session.estimate()
    factory.latest.pause = 0.01
    worker = threading.Thread(target=session.run)
    worker.start()
    reads = 0
    while worker.is_alive():
        for t in range(12):
            assert set(np.unique(session.labels[t])) <= {0, 1, 2}
            session.probability(t, 1)
        assert len(session.confidence) >= 2
        reads += 1
    worker.join()
    assert reads
    assert len(session.confidence) == 24


def test_an_estimate_says_what_is_to_come(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2), o2=(10, 5)))
    estimate = session.estimate()
    assert estimate.object_frames == 22
    assert estimate.memory == 16_000
    assert estimate.memory < estimate.memory_limit
    assert str(estimate) == "22 masks: about 00:00 and 0 MB of memory"
    assert 0 < estimate.disk < estimate.free_disk
    session.run()
    assert session.estimate().object_frames == 0


def test_a_short_disk_is_told_before(session, blocks, monkeypatch):
    import napari_vos.session.estimate as module

    class Usage:
        free = 5

    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: Usage())
    heard, estimates = [], []
    session.warned.connect(heard.append)
    session.estimated.connect(estimates.append)
    session.add_mask(0, blocks(o1=(2, 2)))
    next(session.propagate())
    assert len(heard) == 1
    assert "can be continued" in heard[0]
    assert [(each.object_frames, each.free_disk) for each in estimates] == [(11, 5)]


def test_the_engine_is_made_on_first_use_and_once(session, blocks, factory):
    session.add_mask(0, blocks(o1=(2, 2)))
    assert not factory.made
    session.run(frames=(0, 3))
    session.run()
    assert len(factory.made) == 1
    assert factory.arguments[0] == {
        "name": "compact",
        "plan": None,
        "config": None,
        "weights": None,
        "device": "auto",
        "precision": "auto",
    }


def test_another_engine_begins_anew(session, blocks, factory):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.run(frames=(0, 4))
    session.choose_engine(device="cuda")
    assert session.pending[0].done_until == 4
    session.choose_engine("mast", weights="w.pt")
    assert session.pending[0].done_until is None
    session.run()
    assert factory.arguments[-1]["name"] == "mast"
    assert factory.arguments[-1]["weights"] == "w.pt"
    assert factory.spans[-1].frames == range(1, 12)
    assert session.replay().identical


def test_a_round_is_not_resumed_on_another_engine(session, blocks, factory):
    session.add_mask(0, blocks(o1=(2, 2)))
    next(session.propagate())
    session.choose_engine("mast")
    session.run()
    session.undo()
    assert np.asarray(session.labels[1]).any()
    assert not np.asarray(session.labels[2]).any()


def test_what_cannot_be_done_is_refused(session, blocks):
    with pytest.raises(PromptError, match="No object is marked on 'phase'"):
        list(session.propagate())
    session.add_mask(0, blocks(o1=(2, 2)))
    with pytest.raises(PromptError, match=r"range 5-40 .*\(0-11\)"):
        session.estimate(frames=(5, 40))
    with pytest.raises(PromptError, match="no direction 'fwd'; expected both, forward, backward"):
        session.run(direction="fwd")
    with pytest.raises(PromptError, match=r"no object 5 .* Its objects: 1"):
        session.accept(0, [5])
    with pytest.raises(PromptError, match="Frame -1"):
        session.accept([0, -1])
    with pytest.raises(PromptError, match="no interrupted round"):
        session.resume()


def test_one_frame_has_nothing_to_propagate_to(fake, factory, blocks):
    with Session(fake.FakeFrames(n_frames=1)) as session:
        session.add_mask(0, blocks(o1=(2, 2)))
        with pytest.raises(FramesError, match="'phase' has one frame alone"):
            session.run()


def test_a_failing_engine_keeps_finished_frames(session, blocks, factory):
    heard = []
    session.round_finished.connect(heard.append)
    session.add_mask(0, blocks(o1=(2, 2)))
    session.estimate()
    factory.latest.fails_at = 5
    with pytest.raises(ValueError, match="exploded"):
        session.run()
    assert heard == [Finish.FAILED]
    assert (np.asarray(session.labels[4]) == 1).any()
    factory.latest.fails_at = None
    assert [result.t for result in session.resume()] == list(range(5, 12))
    assert np.array_equal(session.labels[11], blocks(o1=(2, 18)))


def test_an_engine_that_skips_frames_is_a_bug(session, blocks, factory, monkeypatch):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.estimate()
    monkeypatch.setattr(factory.latest, "propagate", lambda span, evidence: (i for i in ()))
    with pytest.raises(RuntimeError, match="nothing where frame 1 was due"):
        session.run()


def test_a_closed_session_says_so(frames, factory, blocks):
    session = Session(frames)
    folder = session.folder
    session.close()
    session.close()
    assert not folder.exists()
    with pytest.raises(NapariVosError, match="is closed"):
        session.add_mask(0, blocks(o1=(2, 2)))


def test_results_can_be_exported(session, blocks, tmp_path):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.run()
    session.export_labels(tmp_path / "a.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), session.labels[:])
    session.export_table(tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert len(lines) == 13
    assert lines[1] == "0,1,16,3.5000,3.5000,1.0000,user"


def test_a_folder_in_use_is_refused(frames, factory, tmp_path):
    with Session(frames, folder=tmp_path / "a"):
        with pytest.raises(StoreError, match=r"open elsewhere .process"):
            Session.load(tmp_path / "a", frames)
        with pytest.raises(StoreError, match="holds a session already"):
            Session(frames, folder=tmp_path / "a")

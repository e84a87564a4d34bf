from __future__ import annotations

import numpy as np
import pytest

from napari_vos.errors import StoreError
from napari_vos.session import Session, replay


@pytest.fixture
def recorded(frames, factory, blocks, tmp_path):
    """A session with everything in it."""
    with Session(frames, folder=tmp_path / "a", undo_bytes=0) as session:
        session.add_mask(0, blocks(o1=(2, 2), o2=(10, 5)))
        session.run(frames=(0, 4))
        session.delete_object(2)
        session.undo()
        steps = session.propagate()
        next(steps)
        steps.close()
        session.accept(3, [1])
        session.run()
        session.add_mask(7, blocks(o1=(2, 16), o3=(18, 20)), complete=True)
        session.run()
        session.end_object(3, 10)
        session.add_mask(2, blocks(o4=(14, 2)))
        steps = session.propagate()
        for _ in range(4):
            next(steps)
        steps.close()
    return tmp_path / "a"


def test_a_replay_gives_the_same_labels(recorded, frames, factory, tmp_path):
    report = replay(recorded, frames, out=tmp_path / "b")
    assert report.identical
    assert report.share == 0
    assert report.changes == ()
    with Session.load(recorded, frames) as one, Session.load(tmp_path / "b", frames) as other:
        assert np.array_equal(one.labels[:], other.labels[:])
        assert one.confidence == other.confidence
        assert one.events == other.events
        assert one.pending == other.pending
        # What is pending can be gone on with in both.
        one.run()
        other.run()
        assert np.array_equal(one.labels[:], other.labels[:])


@pytest.mark.parametrize("n_frames", [4, 10, 16])
def test_a_session_whose_sides_ran_one_after_the_other_replays(
    frames, factory, blocks, tmp_path, monkeypatch, n_frames
):
    with Session(frames) as today:
        record_two_rounds(today, blocks)
        today.run()
        with monkeypatch.context() as patch, Session(frames, folder=tmp_path / "a") as session:
            patch.setattr("napari_vos.session.round.nearest_first", one_after_the_other)
            record_two_rounds(session, blocks)
            steps = session.propagate()
            order = [next(steps).t for _ in range(n_frames)]
            steps.close()
        assert order == [6, 7, *range(6, 12), *range(4, -1, -1), 9, 10, 11, 7][:n_frames]
        assert replay(tmp_path / "a", frames).identical
        with Session.load(tmp_path / "a", frames) as session:
            session.run()
            # The order makes no difference to the masks.
            assert np.array_equal(session.labels[:], today.labels[:])
            assert session.confidence == today.confidence
        assert replay(tmp_path / "a", frames).identical


def one_after_the_other(legs, rest):
    """Stands for `nearest_first`, as it was when legs didn't take turns."""
    return (index for index, frames in enumerate(rest) for _ in frames)


def record_two_rounds(session, blocks):
    """Mark two objects on one frame and correct one of them, to be run on both sides."""
    session.add_mask(5, blocks(o1=(2, 15), o2=(10, 15)))
    session.add_mask(8, blocks(o1=(3, 20)))


def test_rounds_take_their_engine_from_the_journal(recorded, frames, factory):
    factory.arguments.clear()
    replay(recorded, frames)
    plan = {"engine": "compact", "weights": "sha", "threads": 1, "device": "cpu"}
    plan["config"] = {"batch_size": 16}
    assert [arguments["plan"] for arguments in factory.arguments] == [plan] * 5


def test_a_replay_tells_what_differs(recorded, frames, factory, fake, monkeypatch):
    factory.threads = 4
    monkeypatch.setattr(fake, "DECAY", np.float16(0.7))
    report = replay(recorded, frames)
    assert not report.identical
    assert report.changes == ("threads: 1 then, 4 now",)
    assert 0 < report.share < 1
    assert set(report.different) <= set(range(12))
    assert report.share == pytest.approx(sum(report.different.values()) / 12)


def test_a_replay_only_reads(recorded, frames, factory):
    files = {path: path.stat().st_mtime_ns for path in recorded.rglob("*") if path.is_file()}
    replay(recorded, frames)
    assert {p: p.stat().st_mtime_ns for p in recorded.rglob("*") if p.is_file()} == files


def test_an_open_session_can_be_replayed(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.run()
    assert session.replay().identical


def test_other_images_are_refused(recorded, fake):
    with pytest.raises(StoreError, match="other pixels"):
        replay(recorded, fake.FakeFrames(fingerprint="def"))

"""Nothing finished is lost, whatever ends a session and wherever."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import napari_vos.store.files as files
from napari_vos.errors import StoreError
from napari_vos.session import Finish, Session


@pytest.fixture
def begin(frames, factory, blocks):
    """Begin a session in a folder, with two passes to run."""

    def begin(folder):
        session = Session(frames, folder=folder)
        session.add_mask(0, blocks(o1=(2, 2), o2=(10, 30)))
        session.add_mask(6, blocks(o1=(2, 12)))
        return session

    return begin


@pytest.fixture
def uninterrupted(begin):
    """Labels, confidence, events of the whole run."""
    with begin(None) as session:
        session.run()
        return results(session)


def results(session):
    probabilities = {
        key: session.probability(*key)[0].tobytes() for key in sorted(session.confidence)
    }
    return (
        np.asarray(session.labels[:]).tobytes(),
        session.confidence,
        session.events,
        probabilities,
    )


def test_a_killed_run_goes_on_and_ends_the_same(uninterrupted, frames, factory, tmp_path):
    folder = tmp_path / "session"
    script = Path(__file__).with_name("fake_engine.py")
    for n_lines in (3, 9):
        shutil.rmtree(folder, ignore_errors=True)
        process = subprocess.Popen(
            [sys.executable, str(script), str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        seen = [int(process.stdout.readline()) for _ in range(n_lines)]
        process.kill()
        process.wait()
        process.stdout.close()
        with Session.load(folder, frames) as session:
            done = [line["t"] for line in session._ledger.folder.journal.lines if "leg" in line]
            assert done[:n_lines] == seen
            rest = [result.t for result in session.resume()]
            assert len(done) + len(rest) == 26
            assert results(session) == uninterrupted
            session.undo()
            assert not np.asarray(session.labels[3]).any()


@pytest.mark.parametrize("n_frames", [1, 5, 6, 16, 20, 25])
def test_a_cancelled_run_goes_on_and_ends_the_same(begin, uninterrupted, n_frames):
    with begin(None) as session:
        results_ = session.propagate()
        for _ in range(n_frames):
            next(results_)
        results_.close()
        session.run()
        assert results(session) == uninterrupted
        session.undo()
        assert {t for t, _ in session.confidence} == {0, 6}


def test_a_journal_torn_at_any_byte_goes_on(begin, uninterrupted, frames, factory, tmp_path):
    with begin(tmp_path / "whole") as session:
        steps = session.propagate()
        # Into the second pass, where fusion has to see what was there before it.
        for _ in range(23):
            next(steps)
        # As a crash would leave it: neither closed nor finished.
        shutil.copytree(tmp_path / "whole", tmp_path / "copy")
        steps.close()
    journal = tmp_path / "copy" / "journal.jsonl"
    content = journal.read_bytes()
    last = content.rstrip(b"\n").rfind(b"\n")
    for length in range(last - 3, len(content), 25):
        shutil.rmtree(tmp_path / "torn", ignore_errors=True)
        shutil.copytree(tmp_path / "copy", tmp_path / "torn")
        (tmp_path / "torn" / "journal.jsonl").write_bytes(content[:length])
        with Session.load(tmp_path / "torn", frames) as session:
            # The mirror is what the versions say, not what was shown last.
            for t in range(12):
                assert np.array_equal(session.labels[t], session._ledger.labels(t))
            session.run()
            assert results(session) == uninterrupted


def test_shown_labels_are_repaired_after_a_crash(begin, frames, factory, tmp_path):
    session = begin(tmp_path / "a")
    session.run()
    right = np.asarray(session.labels[:])
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    session.close()
    (tmp_path / "b" / "labels.zarr" / "c" / "3" / "0" / "0").write_bytes(b"torn")
    (tmp_path / "b" / "labels.zarr" / "c" / "4" / "0" / "0").unlink()
    for leftover in ("frames/000003-000099.npz", "frames/000003-000100.npz.tmp"):
        (tmp_path / "b" / leftover).write_bytes(b"torn")
    with Session.load(tmp_path / "b", frames) as session:
        assert np.array_equal(session.labels[:], right)
        names = {path.name for path in (tmp_path / "b" / "frames").iterdir()}
        assert "000003-000099.npz" not in names
        assert not any(name.endswith(".tmp") for name in names)


def test_deleted_shown_labels_are_made_again(begin, frames, factory, tmp_path):
    with begin(tmp_path / "a") as session:
        session.run()
        right = np.asarray(session.labels[:])
    shutil.rmtree(tmp_path / "a" / "labels.zarr")
    with Session.load(tmp_path / "a", frames) as session:
        assert np.array_equal(session.labels[:], right)


class FullDisk:
    """Refuses to flush after some files, as a full disk does."""

    def __init__(self, monkeypatch, n_files):
        self.left = n_files
        self._real = os.fsync
        monkeypatch.setattr(files.os, "fsync", self)

    def __call__(self, descriptor):
        if self.left <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.left -= 1
        self._real(descriptor)


@pytest.mark.parametrize("n_files", [0, 1, 2, 3, 22])
def test_a_full_disk_keeps_what_is_finished(begin, uninterrupted, monkeypatch, tmp_path, n_files):
    heard = []
    with begin(tmp_path / "session") as session:
        session.round_finished.connect(heard.append)
        with monkeypatch.context() as patch:
            FullDisk(patch, n_files)
            with pytest.raises(
                StoreError, match=r"No space left on device\. Free some space"
            ) as error:
                session.run()
        assert str(session.folder) in str(error.value)
        # A round begins with its line; without it there was none.
        assert heard == ([Finish.FAILED] if n_files else [])
        assert not list(session.folder.rglob("*.tmp"))
        session.run()
        assert results(session) == uninterrupted


def test_a_full_disk_leaves_no_half_action(frames, factory, blocks, monkeypatch, tmp_path):
    session = Session(frames, folder=tmp_path / "session")
    session.add_mask(0, blocks(o1=(2, 2), o2=(10, 2)))
    session.run()
    before = np.asarray(session.labels[:])
    with monkeypatch.context() as patch:
        FullDisk(patch, 4)
        with pytest.raises(StoreError, match="Free some space"):
            session.delete_object(1)
    assert np.array_equal(session.labels[:], before)
    assert session.object_ids == (1, 2)
    session.delete_object(1)
    assert session.object_ids == (2,)
    session.close()


def test_what_could_not_be_shown_is_shown_later(session, blocks, monkeypatch):
    session.add_mask(0, blocks(o1=(2, 2)))
    mirror = session._ledger.folder.mirror
    real = mirror.array

    class Refusing:
        def __setitem__(self, key, value):
            raise OSError(errno.ENOSPC, "No space left on device")

    mirror.array = Refusing()
    with pytest.raises(StoreError, match=r"labels\.zarr"):
        session.run()
    mirror.array = real
    session.run()
    assert (np.asarray(session.labels[:]) == 1).any(axis=(1, 2)).all()


def test_an_action_between_cancel_and_resume_keeps_both(begin, frames, factory, blocks):
    with begin(None) as session, begin(None) as other:
        steps = session.propagate()
        for _ in range(3):
            next(steps)
        steps.close()
        session.accept(1, [2])
        with pytest.raises(Exception, match="no interrupted round"):
            session.resume()
        session.run()
        other.run()
        assert np.array_equal(session.labels[:], other.labels[:])
        # Undo takes back the second part alone, and it can be done once more.
        session.undo()
        assert not np.asarray(session.labels[4]).any()
        assert np.asarray(session.labels[3]).any()
        session.run()
        assert np.array_equal(session.labels[:], other.labels[:])


def test_an_interrupted_round_keeps_its_engine(begin, frames, factory, tmp_path):
    with begin(tmp_path / "a") as session:
        next(session.propagate())
    with Session.load(tmp_path / "a", frames) as session:
        session.run()
    plan = {"engine": "compact", "weights": "sha", "threads": 1, "device": "cpu"}
    plan["config"] = {"batch_size": 16}
    assert factory.arguments[-1]["plan"] == plan


def test_states_are_deleted_when_nothing_needs_them(begin):
    with begin(None) as session:
        session.run(frames=(0, 3))
        assert any((session.folder / "states").iterdir())
        session.run()
        # The first round was cut short: after an undo it is gone on with.
        assert any((session.folder / "states").iterdir())
    with begin(None) as session:
        session.run()
        assert not any((session.folder / "states").iterdir())


def test_old_steps_go_when_undo_takes_too_much(frames, factory, blocks):
    with Session(frames, undo_bytes=30_000) as session:
        heard = []
        session.warned.connect(heard.append)
        for n in range(6):
            session.add_mask(0, blocks(o1=(2 + n, 2)))
            session.run()
        assert heard
        assert "can no longer be undone" in heard[0]
        versions = session._ledger.folder.versions
        old = versions.names - set(session._ledger.history.state.versions.values())
        assert versions.size(old) <= 30_000
        # The last round can be undone in any case.
        session.undo()
        assert {t for t, _ in session.confidence} >= {0}
        steps = 1
        while session.can_undo:
            session.undo()
            steps += 1
        assert 1 < steps < 12
        text = (session.folder / "journal.jsonl").read_text()
        assert '"action": "forget"' in text


def test_forgotten_steps_stay_forgotten_when_opened_again(frames, factory, blocks, tmp_path):
    with Session(frames, folder=tmp_path / "a", undo_bytes=0) as session:
        for n in range(3):
            session.add_mask(0, blocks(o1=(2 + n, 2)))
            session.run()
        labels = np.asarray(session.labels[:])
    with Session.load(tmp_path / "a", frames) as session:
        session.undo()
        assert not session.can_undo
        session.redo()
        assert np.array_equal(session.labels[:], labels)


def test_the_journal_can_be_read(begin, tmp_path):
    with begin(tmp_path / "a") as session:
        session.run(direction="forward")
    text = (tmp_path / "a" / "journal.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["action"] for line in lines][:4] == ["add_mask", "add_mask", "round", "frame"]
    assert lines[-1]["action"] == "finish"
    assert lines[-1]["reason"] == "completed"
    line = lines[2]
    assert line["engine"]["weights"] == "sha"
    assert line["images"] == {
        "fingerprint": "abc",
        "axes": "TYX",
        "channels": [0],
        "normalization": {"low": [0.0], "high": [1.0]},
    }
    assert line["direction"] == "forward"
    assert [leg["object_ids"] for leg in line["legs"]] == [[1], [2], [1]]
    ends = {key: value for each in lines if "ends" in each for key, value in each["ends"].items()}
    assert ends == {"2": "left"}


def test_a_worker_can_be_killed_by_closing_in_its_thread(begin, uninterrupted):
    with begin(None) as session:

        def work():
            steps = session.propagate()
            for _ in range(5):
                next(steps)
            steps.close()

        worker = threading.Thread(target=work)
        worker.start()
        worker.join()
        session.run()
        assert results(session) == uninterrupted

"""Frames that stay on the screen as they are while they are painted."""

from __future__ import annotations

import threading

import numpy as np

from napari_vos.session import Session


def test_holding_a_frame_reads_nothing_and_waits_for_no_work(session, blocks, monkeypatch):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.run()
    ledger = session._ledger
    for name in ("labels", "index", "objects"):
        monkeypatch.delattr(type(ledger.folder.versions), name)

    def hold():
        session.hold_labels(5)
        session.hold_labels(5)
        session.release_labels(5)  # it is still held: there is nothing to show yet

    with ledger._mutex:  # as it is while a worker reads or writes
        window = threading.Thread(target=hold, daemon=True)
        window.start()
        window.join(30)
        assert not window.is_alive()


def test_a_held_frame_is_known_as_it_was_however_much_has_changed_since(frames, factory, blocks):
    with Session(frames, undo_bytes=0) as session:
        session.add_mask(0, blocks(o1=(2, 2)))
        session.run()
        was = np.asarray(session.labels[5])
        session.hold_labels(5)
        session.labels[5] = 9  # a stroke
        for row in (4, 6, 8):
            session.add_mask(0, blocks(o1=(row, 2)))
            session.run()
        assert not session._ledger.history.undone
        assert np.array_equal(session.shown_labels(5), was)
        now = session.frame_change(5).after
        assert not np.array_equal(now, was)
        assert (session.labels[5] == 9).all()
        session.release_labels(5)
        assert np.array_equal(session.labels[5], now)
        assert np.array_equal(session.shown_labels(5), now)
        # What nobody can come back to goes with the next step.
        n_versions = len(session._ledger.folder.versions.names)
        session.accept(11)
        assert len(session._ledger.folder.versions.names) < n_versions


def test_a_frame_that_is_held_twice_shows_changes_when_it_was_released_twice(session, blocks):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.hold_labels(5)
    session.hold_labels(5)
    session.run()
    session.release_labels(5)
    assert not session.labels[5].any()
    session.release_labels(5)
    assert session.labels[5].any()

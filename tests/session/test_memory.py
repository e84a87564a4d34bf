"""A round keeps within the memory it may take, and goes on in the batches it has begun with."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vos import device
from napari_vos.session import Session
from napari_vos.session.engine import with_smaller_batches


def batch_sizes(session):
    return [
        line["engine"]["config"]["batch_size"]
        for line in session._ledger.folder.journal.lines
        if line["action"] in ("round", "resume")
    ]


@pytest.mark.parametrize(
    ("memory_bytes", "batch_size"), [(None, 16), (16_000, 16), (15_999, 8), (1000, 1)]
)
def test_batches_shrink_to_fit_the_budget(frames, factory, blocks, memory_bytes, batch_size):
    with Session(frames, memory_bytes=memory_bytes) as session:
        heard = []
        session.warned.connect(heard.append)
        session.add_mask(0, blocks(o1=(2, 2)))
        assert session.estimate().memory == 1000 * batch_size
        session.run()
        assert batch_sizes(session) == [batch_size]
        assert not heard
        assert session.replay().identical


def test_batches_shrink_to_fit_what_is_free(session, blocks, monkeypatch):
    monkeypatch.setattr(device, "free_memory", lambda device: 5000)
    session.add_mask(0, blocks(o1=(2, 2)))
    session.run()
    assert batch_sizes(session) == [4]


def test_what_does_not_fit_is_told_before(frames, factory, blocks):
    with Session(frames, memory_bytes=999) as session:
        heard = []
        session.warned.connect(heard.append)
        session.add_mask(0, blocks(o1=(2, 2)))
        session.run()
        assert ["MB of memory" in line for line in heard] == [True]
        assert np.asarray(session.labels[11]).any()


def test_an_interrupted_round_keeps_its_batches(frames, factory, blocks, tmp_path):
    with Session(frames, folder=tmp_path / "a", memory_bytes=2000) as session:
        session.add_mask(0, blocks(o1=(2, 2)))
        next(session.propagate())
    for memory_bytes in (None, 1000):
        with Session.load(tmp_path / "a", frames, memory_bytes=memory_bytes) as session:
            next(session.propagate())
            assert set(batch_sizes(session)) == {2}


def test_engines_without_batches():
    assert with_smaller_batches({"config": {"top_k": 50}}) is None


def test_warnings_are_logged_if_nobody_listens(frames, factory, blocks, caplog):
    with Session(frames, memory_bytes=999) as session:
        session.add_mask(0, blocks(o1=(2, 2)))
        session.run()
    assert "MB of memory" in caplog.text

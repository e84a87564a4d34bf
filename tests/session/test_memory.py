"""A round keeps within the memory it may take, and goes on in the batches it has begun with."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vos import device
from napari_vos.engines.base import Estimate
from napari_vos.errors import DeviceError
from napari_vos.session import Session
from napari_vos.session.engine import with_less_memory


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


def test_what_shrinks_in_which_order():
    assert with_less_memory({"config": {"top_k": 50}}) is None
    asked = {
        "memory_profile": "auto",
        "cache_megabytes": 9,
        "batch_size": 2,
        "tile_side": None,
        "working_scale": "auto",
    }
    plan, shrunk = {"config": asked}, []
    while plan := with_less_memory(plan):
        shrunk.append(tuple(plan["config"].values()))
    assert shrunk == [
        (3, 9, 2, None, "auto"),
        (3, 2, 2, None, "auto"),
        (3, 0, 2, None, "auto"),
        (3, 0, 1, None, "auto"),
        (3, 0, 1, 1024, "auto"),
        (3, 0, 1, 512, "auto"),
        (3, 0, 1, 256, "auto"),
        (3, 0, 1, 256, 1.0),
    ]
    assert with_less_memory({"config": {"batch_size": 1, "working_scale": 2.0}}) is None


@pytest.mark.parametrize(
    ("memory_bytes", "fitting"), [(1000, None), (999, 2), (699, 1), (10, "none")]
)
def test_more_objects_than_fit_are_refused(
    frames, factory, blocks, monkeypatch, memory_bytes, fitting
):
    def estimate(engine, spans):
        (n_objects,) = {len(span.object_ids) for span in spans}
        return Estimate(100 + 300 * n_objects, 1.0, 11 * n_objects, n_objects, 300)

    monkeypatch.setattr("fake_engine.WalkingPropagator.estimate", estimate)
    with Session(frames, memory_bytes=memory_bytes) as session:
        session.add_mask(0, blocks(o1=(2, 2), o2=(10, 2), o3=(18, 2)))
        assert session.estimate().n_objects == 3
        if fitting is None:
            session.run()
            return
        with pytest.raises(DeviceError, match=f"3 objects at once.*: {fitting} would fit"):
            session.run()
        assert not np.asarray(session.labels[1]).any()


def test_warnings_are_logged_if_nobody_listens(frames, factory, blocks, caplog):
    with Session(frames, memory_bytes=999) as session:
        session.add_mask(0, blocks(o1=(2, 2)))
        session.run()
    assert "MB of memory" in caplog.text

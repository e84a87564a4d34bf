from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_vos._napari.overview import Overview
from napari_vos.frames import FrameStack
from napari_vos.session import Session
from napari_vos.session.attention import MOST_OBJECTS
from napari_vos.session.view import FrameSummary


@pytest.fixture
def session(factory: Any, images: np.ndarray, masks: np.ndarray) -> Any:
    with Session(FrameStack(images, name="phase")) as session:
        yield session


def test_it_follows_the_session(session: Any, masks: np.ndarray) -> None:
    found = Overview(session)
    assert np.isnan(found.confidence).all()
    session.add_mask(0, masks[0])
    assert found.is_marked.nonzero()[0].tolist() == [0]
    assert found.is_pending.nonzero()[0].tolist() == list(range(1, 12))
    assert found.confidence[0] == 1
    rounds = session.propagate()
    next(rounds)
    assert found.confidence[1] == pytest.approx(0.98 * 0.96, abs=1e-3)
    assert found.is_pending.nonzero()[0].tolist() == list(range(2, 12))
    assert len(list(rounds)) == 10
    assert not found.is_pending.any()
    assert (np.diff(found.confidence) < 0).all()
    session.accept([3, 4])
    assert found.is_accepted.nonzero()[0].tolist() == [3, 4]
    session.end_object(7, 9)
    assert found.has_end.nonzero()[0].tolist() == [9]
    assert "an object ends" in found.describe(9)
    assert "yours" in found.describe(0)
    assert "accepted" in found.describe(3)
    for _ in range(3):
        session.undo()
    assert np.isnan(found.confidence[1:]).all()
    assert not found.is_accepted.any()
    assert not found.has_end.any()


def test_what_was_there_before_is_read(session: Any, masks: np.ndarray) -> None:
    session.add_mask(0, masks[0])
    session.run(frames=(0, 8))
    found = Overview(session)
    assert not found.is_read
    list(found.read())
    assert found.is_read
    assert np.isnan(found.confidence).nonzero()[0].tolist() == [9, 10, 11]
    assert found.is_pending.nonzero()[0].tolist() == [9, 10, 11]
    assert found.is_marked[0]


def test_one_lost_object_among_many_is_seen(session: Any) -> None:
    labels = np.zeros((24, 40), np.uint16)
    labels[::4, ::4] = np.arange(1, 61).reshape(6, 10)
    session.add_mask(3, labels)
    found = Overview(session)
    list(found.read())
    sure = session.frame_summary(3).confidence
    session.frame_summary = lambda t: FrameSummary({**sure, 17: 0.1} if t == 3 else {}, ())
    session.frame_written.emit(3)
    # As many count as for the next frame to check.
    assert found.confidence[3] == pytest.approx(1 - 0.9 / MOST_OBJECTS)
    assert found.lowest[3] == pytest.approx(0.1)
    assert "least certain objects 0.82, lowest 0.10" in found.describe(3)

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_vos.engines.base import Span
from napari_vos.engines.shares import Shares
from napari_vos.store.evidence import Box, FrameEvidence, ObjectEvidence, Source

SHAPE = (100, 100)


class Evidence:
    """Objects 1 and 2: on frame 0 whole, 20 x 20; on frame 10 as high as is said."""

    def __init__(self, top: int, height: int) -> None:
        self.boxes = {0: Box(40, 40, 60, 60), 10: Box(top, 40, top + height, 60)}

    def read(self, t: int) -> FrameEvidence:
        box = self.boxes[t]
        mask = np.ones(box.shape, np.float16)
        return FrameEvidence(t, {1: ObjectEvidence(1, box, mask, 1.0, Source.USER)})


def shares(start: int, top: int, height: int) -> Shares:
    evidence: Any = Evidence(top, height)
    return Shares(Span(start, 5, (1, 2), (0, 10), fuse_with=10 - start), evidence, SHAPE)


def test_the_nearer_user_frame_counts_more() -> None:
    assert [shares(10, 40, 20).of(1, t) for t in (0, 2, 5, 10)] == [0, 0.2, 0.5, 1]
    assert [shares(0, 40, 20).of(1, t) for t in (0, 2, 5, 10)] == [1, 0.8, 0.5, 0]


def test_a_sliver_at_the_border_counts_less() -> None:
    # A twentieth of the area is left.
    odds = 20**-0.5
    assert shares(10, 0, 1).of(1, 5) == pytest.approx(odds / (1 + odds))
    assert shares(0, 0, 1).of(1, 5) == pytest.approx(1 / (1 + odds))
    assert shares(10, 0, 1).of(1, 10) == pytest.approx(1)
    assert shares(10, 0, 1).of(1, 0) == 0


def test_what_is_small_away_from_the_border_is_whole() -> None:
    assert shares(10, 50, 1).of(1, 5) == 0.5


def test_what_only_one_frame_shows_goes_by_distance() -> None:
    assert shares(10, 0, 1).of(2, 5) == 0.5


def test_without_another_frame_there_is_nothing_to_fuse() -> None:
    evidence: Any = Evidence(40, 20)
    with pytest.raises(ValueError, match="nothing to fuse"):
        Shares(Span(0, 5, (1,), (0,)), evidence, SHAPE)

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from napari_vos.engines.base import Span
from napari_vos.engines.compact_fusion import WindowFusion, trust_in
from napari_vos.engines.places import look_at
from napari_vos.engines.windows import CONTEXT
from napari_vos.store.evidence import Box, FrameEvidence, ObjectEvidence, Source

SHAPE = (240, 240)


def square(top: int, left: int, side: int, confidence: float = 0.5) -> dict[int, ObjectEvidence]:
    box = Box(top, left, top + side, left + side)
    mask = np.ones((side, side), np.float16)
    return {7: ObjectEvidence(7, box, mask, confidence, Source.PROPAGATED)}


class Evidence:
    """A user frame 8 on which the object was moved by a correction."""

    def __init__(self, side: int) -> None:
        self.side = side

    def read(self, t: int) -> FrameEvidence:
        return FrameEvidence(t, square(60, 70, self.side))

    def uncorrected(self, t: int) -> FrameEvidence:
        return FrameEvidence(t, square(60, 60, self.side))


def fusion_of(side: int, answer: float) -> WindowFusion:
    """Fusion by a network whose answer is the same everywhere."""
    planes = np.random.default_rng(0).random((1, *SHAPE), np.float32)
    engine: Any = SimpleNamespace(
        frames=SimpleNamespace(shape=SHAPE),
        fuse=lambda windows: [torch.full((1, 96, 96), answer) for _ in windows],
        keys=lambda images: [torch.rand(4, 24, 24) for _ in images],
    )
    span, evidence = Span(8, 1, (7,), (0, 8), fuse_with=0), Evidence(side)
    return WindowFusion(
        engine, span, evidence, lambda t, places: {i: look_at(planes, p) for i, p in places.items()}
    )


def test_the_network_is_believed_about_objects_it_sees_as_they_are() -> None:
    assert trust_in(10) == 0
    assert trust_in(28) == pytest.approx((CONTEXT * 28 - 32) / 64)
    assert trust_in(72) == trust_in(200) == 1


def test_small_objects_are_blended_by_distance() -> None:
    (fused,) = fusion_of(12, 1.0).fuse(2, square(60, 66, 12, 0.9), square(60, 60, 12, 0.5))
    plane = np.zeros(SHAPE)
    plane[fused.box.slices] = fused.probability
    assert set(np.unique(plane[60:72, 60:66])) == {np.float16(0.75)}
    assert set(np.unique(plane[60:72, 66:72])) == {1}
    assert set(np.unique(plane[60:72, 72:78])) == {np.float16(0.25)}
    assert plane[58].max() == 0
    agreement = 6 / 18  # a third of what either holds is of both
    assert fused.confidence == pytest.approx((0.25 * 0.9 + 0.75 * 0.5) * agreement)


def test_large_objects_are_fused_by_the_network() -> None:
    (fused,) = fusion_of(72, 0.6).fuse(2, square(60, 66, 72), square(60, 60, 72))
    inner = fused.probability[fused.probability > 0.1]
    np.testing.assert_allclose(inner, 0.6, atol=1e-2)
    assert fused.box.shape[0] >= 96


def test_an_object_without_an_old_mask_stays() -> None:
    new = square(60, 66, 60)
    assert fusion_of(60, 0.6).fuse(2, new, {}) == list(new.values())

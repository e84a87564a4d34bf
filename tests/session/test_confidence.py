from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_vos.session.confidence import confidence_of
from napari_vos.store.evidence import Box, ObjectEvidence, Source


def evidence(inside, confidence, around=0.0):
    probability = np.full((6, 6), around, np.float16)
    probability[1:5, 1:5] = inside
    return ObjectEvidence(7, Box(0, 0, 6, 6), probability, confidence, Source.PROPAGATED)


def test_doubt_stays_once_it_has_come():
    start = evidence(1, 1.0)
    first = evidence(0.75, 0.6)
    assert confidence_of(first, start) == pytest.approx(0.6 * 0.75)
    stored = evidence(0.75, 0.6 * 0.75)
    assert confidence_of(evidence(0.875, 0.9), stored) == pytest.approx(0.6 * 0.875)
    assert confidence_of(evidence(0.875, 0.5), stored) == pytest.approx(0.5 * 0.875)
    assert confidence_of(evidence(0.875, 0.9), None) == pytest.approx(0.9 * 0.875)


def test_an_accepted_frame_ends_doubt(session, blocks, fake, factory, monkeypatch):
    walk = fake.WalkingPropagator.propagate

    def propagate(self, span, evidence):
        """Walk, in doubt on frame 3 alone."""
        for found in walk(self, span, evidence):
            said = 0.5 if found.t == 3 else 0.9
            objects = {i: replace(item, confidence=said) for i, item in found.objects.items()}
            yield replace(found, objects=objects)

    monkeypatch.setattr(fake.WalkingPropagator, "propagate", propagate)
    session.add_mask(0, blocks(o1=(2, 2)))
    session.run()
    doubtful = session.confidence
    assert doubtful[2, 1] > 0.8
    assert all(0.3 < doubtful[t, 1] < 0.5 for t in range(3, 12))
    session.accept(5)
    session.add_mask(0, blocks(o1=(2, 2)))
    session.run()
    assert session.confidence[5, 1] == doubtful[5, 1]
    assert session.confidence[6, 1] == pytest.approx(doubtful[6, 1] * 0.9 / 0.5, abs=1e-3)

from __future__ import annotations

import importlib

import numpy as np
import pytest

from napari_vos import Session


@pytest.fixture
def calibration():
    return importlib.import_module("calibration")


def test_what_only_moves_is_steady(calibration):
    mask = np.zeros((20, 20), bool)
    mask[3:8, 3:8] = True
    assert calibration.steadiness(np.roll(mask, (4, 5), (0, 1)), mask) == 1
    half = mask & (np.arange(20) < 6)[:, None]
    assert 0.4 < calibration.steadiness(half, mask) < 0.7
    assert calibration.steadiness(np.zeros_like(mask), mask) == 0


def test_the_gap_is_between_what_is_said_and_what_is_true(calibration):
    confidence = np.array([0.9, 0.95, 0.2, 0.25])
    exact = calibration.reliability(confidence, confidence)
    assert exact["gap"] == pytest.approx(0)
    assert [each["n"] for each in exact["curve"]] == [2, 2]
    assert calibration.reliability(confidence, confidence - 0.1)["gap"] == pytest.approx(0.1)


def test_ranks_are_compared(calibration):
    assert calibration.correlation([0.1, 0.2, 0.9], [0.0, 0.5, 0.6]) == pytest.approx(1)
    assert calibration.correlation([0.5, 0.5], [0.1, 0.9]) == 0


def test_a_sequence_is_measured(fake, factory, calibration):
    frames = fake.FakeFrames()
    with Session(frames) as session:
        session.add_mask(0, fake.blocks(frames.shape, o1=(2, 2)))
        session.run()
        signs = calibration.signs_of(session, 1, 12, None)
        labels = np.asarray(session.labels[:])
        passes = labels, np.where(np.arange(12)[:, None, None] < 6, labels, 0)
        both = calibration.signs_of(session, 1, 12, passes)
    assert signs[1]["confidence"] > signs[11]["confidence"]
    assert signs[1]["nearness"] > signs[11]["nearness"]
    assert signs[4]["steadiness"] == 1
    assert signs[1]["sharpness"] > signs[11]["sharpness"]
    assert "agreement" not in signs[4]
    assert both[4]["both"] == both[4]["confidence"]
    assert both[8]["agreement"] == both[8]["both"] == 0
    assert both[1]["nearness"] == both[10]["nearness"]

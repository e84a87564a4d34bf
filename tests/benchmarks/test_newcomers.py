"""The figures of benchmarks/newcomers.py on cells, one of which comes in later."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
import tifffile

from napari_vos.engines.base import FrameInstances


@pytest.fixture
def truth():
    """Six frames with cells 1 and 2; cell 3 is there from frame 2 on."""
    labels = np.zeros((6, 48, 64), np.uint16)
    labels[:, 4:16, 4:16] = 1
    labels[:, 30:42, 6:18] = 2
    labels[2:, 10:22, 40:52] = 3
    return labels


@pytest.fixture
def folder(tmp_path, truth):
    noise = np.random.default_rng(0).normal(300, 30, truth.shape)
    images = (1000 * (truth > 0) + noise).astype(np.uint16)
    for name, stack in (("images", images), ("labels", truth)):
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, photometric="minisblack")
    (tmp_path / "meta.json").write_text(json.dumps({"annotated_frames": [0, 2, 4, 5]}))
    return tmp_path


class Standing:
    """An engine that leaves masks where they are."""

    def __init__(self, fake, frames):
        self.propagator = fake.WalkingPropagator(
            frames.shape, {"device": "cpu", "config": {"batch_size": 1}}
        )
        self.propagator._move = lambda item, step: fake.replace(item, source="propagated")
        self.plan = self.propagator.plan
        self.estimate, self.propagate = self.propagator.estimate, self.propagator.propagate


class Eyes:
    plan = {"engine": "eyes"}  # noqa: RUF012

    def __init__(self, truth, n_wrong):
        self.truth, self.n_wrong = truth, n_wrong

    def detect(self, t):
        self.t = t
        return self

    def instances(self, *, score, overlap):
        labels = self.truth[self.t].copy()
        count = len(np.unique(labels)) - 1
        for index in range(self.n_wrong):
            count += 1
            labels[44:48, 4 * index + 20 : 4 * index + 24] = count
        scores = np.array([0.9] * (count - self.n_wrong) + [0.6] * self.n_wrong, np.float32)
        return FrameInstances(labels, scores, scores.astype(int), np.zeros((count, 4)))


@pytest.mark.parametrize("n_wrong", [0, 4])
def test_coverage_with_and_without(folder, truth, fake, monkeypatch, n_wrong):
    import newcomers

    monkeypatch.setattr(
        "napari_vos.engines.create_propagator", lambda _, frames, **__: Standing(fake, frames)
    )
    monkeypatch.setattr("napari_vos.engines.create_detector", lambda *_, **__: Eyes(truth, n_wrong))
    options = argparse.Namespace(
        weights=None, detector_weights=None, device="cpu", every=2, score=0.5, frames=5, labels=None
    )
    figures = newcomers.score(folder, options)
    assert figures["frames"] == [2, 4]
    assert figures["n_newcomers"] == 1 + n_wrong
    before, after = figures["without"], figures["with"]
    assert before["covered"] == before["covered_by_all"] == pytest.approx(4 / 6)
    assert before["late"] == 0
    assert before["precision_of_all"] == 1
    assert before["n_late_object_frames"] == 2
    assert after["covered_by_all"] == 1
    assert after["precision_of_all"] == pytest.approx(3 / (3 + n_wrong))
    # What is wrong is less certain, and is left out.
    assert after["covered"] == after["late"] == 1

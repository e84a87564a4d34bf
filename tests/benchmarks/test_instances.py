"""The figures of benchmarks/instances.py on disks."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
import tifffile

from napari_vos.engines.base import FrameInstances


@pytest.fixture
def folder(tmp_path):
    """Two frames of disks in noise, two of which touch; the second one is annotated."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((80, 100))
    truth = np.zeros((2, 80, 100), np.uint16)
    for label, (y, x) in enumerate([(30, 25), (30, 44), (55, 75)], 1):
        truth[:, np.hypot(rows - y, columns - x) < 10] = label
    images = 1000 * (truth > 0) + rng.normal(300, 30, truth.shape)
    for name, stack in (("images", images.astype(np.uint16)), ("labels", truth)):
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, photometric="minisblack")
    (tmp_path / "meta.json").write_text(json.dumps({"annotated_frames": [1]}))
    return tmp_path


class Blind:
    """Finds nothing."""

    def detect(self, t):
        return self

    def instances(self, *, score, overlap):
        nothing = np.zeros(0, np.float32)
        labels = np.zeros((80, 100), np.uint16)
        return FrameInstances(labels, nothing, nothing.astype(int), np.zeros((0, 4)))


def test_the_baseline_splits_what_touches(folder, monkeypatch):
    import instances

    asked = []
    monkeypatch.setattr(
        instances,
        "create_detector",
        lambda *_, config, **__: asked.append(config.diameter) or Blind(),
    )
    options = argparse.Namespace(weights=None, device="cpu", score=0.3, overlap=0.5)
    figures = instances.score(folder, 5, options)
    assert figures["frames"] == [1]
    assert asked == [pytest.approx(20, abs=1)]
    assert figures["watershed"]["AP50"] == 1
    assert figures["watershed"]["SEG"] > 0.9
    assert figures["cells"]["AP50"] == figures["cells"]["SEG"] == 0

"""The figures of benchmarks/instances.py on disks."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
import tifffile

from napari_vos.engines.base import FrameInstances
from napari_vos.metrics import InstanceScores
from napari_vos.training.fields import UNKNOWN
from napari_vos.training.own_cells import Progress


@pytest.fixture
def folder(tmp_path):
    """Twelve frames of three disks in noise, two of which touch."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((80, 100))
    truth = np.zeros((12, 80, 100), np.uint16)
    for label, (y, x) in enumerate([(30, 25), (30, 44), (55, 75)], 1):
        truth[:, np.hypot(rows - y, columns - x) < 10] = label
    images = 1000 * (truth > 0) + rng.normal(300, 30, truth.shape)
    for name, stack in (("images", images.astype(np.uint16)), ("labels", truth)):
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, photometric="minisblack")
    (tmp_path / "meta.json").write_text(json.dumps({"annotated_frames": [*range(12)]}))
    return tmp_path


class Blind:
    """Finds nothing."""

    def detect(self, t):
        return self

    def instances(self, *, score, overlap):
        nothing = np.zeros(0, np.float32)
        labels = np.zeros((80, 100), np.uint16)
        return FrameInstances(labels, nothing, nothing.astype(int), np.zeros((0, 4)))


@pytest.fixture
def options():
    return argparse.Namespace(weights=None, device="cpu", score=0.3, overlap=0.5, minutes=0)


@pytest.fixture
def asked(monkeypatch):
    """The diameters and weights that the detector is made with; it finds nothing."""
    import instances

    asked = []
    monkeypatch.setattr(
        instances,
        "create_detector",
        lambda *_, config, weights, **__: asked.append((config.diameter, weights)) or Blind(),
    )
    return asked


def test_the_baseline_splits_what_touches(folder, options, asked):
    import instances

    figures = instances.score(folder, 3, options)
    assert figures["frames"] == [8, 9, 11]
    assert asked == [(pytest.approx(20, abs=1), None)]
    assert figures["watershed"]["AP50"] == 1
    assert figures["watershed"]["SEG"] > 0.9
    assert figures["cells"]["AP50"] == figures["cells"]["SEG"] == 0


def test_what_is_found_where_nothing_is_known_costs_nothing(folder, options, asked):
    import instances

    labels = tifffile.imread(folder / "labels.tif")
    labels[:, labels[0] == 3] = 0
    tifffile.imwrite(folder / "labels.tif", labels, photometric="minisblack")
    assert instances.score(folder, 3, options)["watershed"]["AP50"] == pytest.approx(2 / 3)
    (folder / "meta.json").write_text(json.dumps({"annotated_frames": [0]}))
    assert instances.score(folder, 3, options)["watershed"]["AP50"] == 1


def test_frames_for_training_lie_apart(folder, options, asked, monkeypatch):
    import instances

    seen = []

    def train(known, recipe):
        seen.append((known, recipe))
        path = recipe.out / "cells.safetensors"
        scores = InstanceScores((1,) * 10, 1, 1, 1, 1, 1, 1)
        return Progress(3, 1.0, 1.0, scores, scores, scores, 20.0, path)

    monkeypatch.setattr(instances, "train", train)
    options.minutes = 2
    (folder / "meta.json").write_text(json.dumps({"annotated_frames": [0, 1, 2, 3, 9]}))
    figures = instances.score(folder, 3, options)
    [(known, recipe)] = seen
    assert known.filled == figures["learned"] == [0, 1, 2, 3, 4]
    assert [t for t in known.filled if (known.labels(t) == UNKNOWN).any()] == [4]
    assert recipe.minutes == 2
    assert asked[1][1].name == "cells.safetensors"
    assert figures["trained"]["AP50"] == 0
    assert figures["training"]["steps"] == 3

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_vos.configs import CellsConfig
from napari_vos.engines.base import FrameInstances

ASKED = [("yolact", None, "file.pth"), ("cells", CellsConfig(diameter=20), None)]
OFFICIAL = ("--detector", "yolact", "--weights", "file.pth")


class FakeDetector:
    """Finds one instance on each frame, at the frame's column, and more if the score is low."""

    plan = {"engine": "fake"}  # noqa: RUF012
    kinds: set[tuple[int, ...] | None] = set()  # noqa: RUF012

    def __init__(self, frames) -> None:
        self.shape = frames.shape

    def detect(self, t):
        self.t = t
        return self

    def instances(self, *, score, overlap, kind):
        assert overlap == 0.4
        self.kinds.add(kind)
        labels = np.zeros(self.shape, np.uint16)
        labels[2, self.t] = 1
        n_instances = 1
        if score < 0.5:
            labels[5, self.t] = n_instances = 2
        numbers = np.zeros(n_instances, np.float32)
        return FrameInstances(labels, numbers, numbers.astype(int), np.zeros((n_instances, 4)))


@pytest.fixture
def detector(monkeypatch):
    def create(name, frames, *, config, weights, device, precision):
        assert (name, config, weights) in ASKED
        return FakeDetector(frames)

    monkeypatch.setattr("napari_vos.engines.create_detector", create)


def test_frames_are_segmented_each_by_itself(detector, run_json, images, tmp_path):
    output = tmp_path / "instances.tif"
    common = ("segment", images, "-o", output, *OFFICIAL, "--overlap", 0.4)
    result = run_json(*common, "--score", 0.2, "--frames", "1:3")
    assert (result["n_frames"], result["n_instances"]) == (2, 4)
    assert result["instances"] == [2, 2]
    labels = tifffile.imread(output)
    assert labels.dtype == np.uint16
    assert labels[1, 2, 1] == 1
    assert labels[2, 5, 2] == 2
    assert labels.any(axis=(1, 2)).tolist() == [False, True, True, *[False] * 5]
    result = run_json(*common, "--score", 0.7, "--overwrite")
    assert result["instances"] == [1] * 8
    cells = run_json("segment", images, "-o", output, "--diameter", 20, *common[-2:], "--overwrite")
    assert cells["instances"] == [2] * 8


def test_classes_of_published_models(detector, run_json, fails, images, tmp_path):
    common = ("segment", images, "-o", tmp_path / "instances.tif", *OFFICIAL, "--overlap", 0.4)
    for options, kinds in (((), None), (("--classes", "cat, teddy bear"), (15, 77))):
        FakeDetector.kinds.clear()
        run_json(*common, *options, "--overwrite")
        assert FakeDetector.kinds == {kinds}
    message = fails(*common, "--classes", "cat,teddy", "--overwrite")
    assert "no class 'teddy'" in message
    assert "teddy bear" in message
    told = fails("segment", images, "-o", tmp_path / "cells.tif", "--classes", "cat")
    assert "--classes is for the detector 'yolact'" in told


def test_what_is_there_is_not_replaced(detector, fails, images, tmp_path):
    output = tmp_path / "instances.tif"
    output.write_bytes(b"mine")
    message = fails("segment", images, "-o", output, *OFFICIAL)
    assert str(output) in message
    assert output.read_bytes() == b"mine"


def test_what_cannot_be_used_is_told(fails, images, tmp_path):
    output = tmp_path / "instances.tif"
    official = ("segment", images, "-o", output, "--detector", "yolact")
    assert "https://github.com/dbolya/yolact" in fails(*official)
    assert "leave it away" in fails(*official, "--diameter", 20).lower()
    assert "diameter is 1" in fails("segment", images, "-o", output, "--diameter", 1)
    assert "no.pth" in fails("segment", images, "-o", output, "--weights", "no.pth")
    message = fails("segment", images, "-o", output, "--weights", "no.pth", "--score", "7")
    assert "--score" in message

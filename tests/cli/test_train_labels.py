from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_vos.metrics import InstanceScores
from napari_vos.training import own_cells
from napari_vos.training.fields import UNKNOWN
from napari_vos.training.own_cells import OwnCellsTraining, Progress


@pytest.fixture
def labels(tmp_path, images):
    """Two cells on frames 1, 4 and 6 of the images."""
    stack = np.zeros(tifffile.imread(images).shape, np.uint16)
    for t in (1, 4, 6):
        stack[t, 2:8, 2:8], stack[t, 10:16, 20:26] = 1, 2
    path = tmp_path / "labels.tif"
    tifffile.imwrite(path, stack, photometric="minisblack")
    return path


@pytest.fixture
def asked(monkeypatch):
    asked = []

    def train(known, recipe, *, report):
        asked.append((known, recipe))
        report("a line")
        before, after = (InstanceScores((n,) * 10, 2, 2, 1, n, n, 2) for n in (1, 2))
        path = recipe.out / "cells.safetensors"
        return Progress(7, 1.0, 2.0, before, after, None, 6.8, path)

    monkeypatch.setattr(own_cells, "train", train)
    return asked


def unknown_frames(known):
    return [t for t in known.filled if (known.labels(t) == UNKNOWN).any()]


def test_labels(run, run_json, images, labels, asked):
    out = Path("napari-vos-labels")
    printed = run_json("train", "labels", images, labels, "--minutes", 2, "--start-from", "w.pth")
    assert printed["weights"] == "napari-vos-labels/cells.safetensors"
    assert (printed["diameter"], printed["annotated_frames"]) == (6.8, [1, 4, 6])
    assert (printed["before"]["AP50"], printed["after"]["AP50"]) == (pytest.approx(1 / 3), 1)
    known, recipe = asked[-1]
    assert recipe == OwnCellsTraining(out, start_from=Path("w.pth"), minutes=2)
    assert unknown_frames(known) == []
    code, text, err = run("train", "labels", images, labels)
    assert (code, err) == (0, "a line\n")
    assert "was 0.333 and is 1.000" in text
    assert "--diameter 7" in text


def test_frames_and_what_is_not_known(run_json, images, labels, asked, tmp_path):
    command = ("train", "labels", images, labels)
    run_json(*command, "--frames", "1,4", "--incomplete", "4")
    assert asked[-1][0].filled == [1, 4]
    assert unknown_frames(asked[-1][0]) == [4]
    run_json(*command, "--incomplete", "all")
    assert unknown_frames(asked[-1][0]) == [1, 4, 6]
    (tmp_path / "meta.json").write_text(json.dumps({"annotated_frames": [1, 6]}))
    run_json(*command)
    assert unknown_frames(asked[-1][0]) == [4]
    ignored = np.zeros(tifffile.imread(labels).shape, np.uint8)
    ignored[1, :4] = 1
    tifffile.imwrite(tmp_path / "unsure.tif", ignored, photometric="minisblack")
    run_json(*command, "--ignore", tmp_path / "unsure.tif", "--incomplete", "6")
    assert unknown_frames(asked[-1][0]) == [1, 6]


def test_what_cannot_be_used(fails, images, labels, asked):
    command = ("train", "labels", images, labels)
    assert "--frames '3-5' isn't a list" in fails(*command, "--frames", "3-5")
    assert "labels of frame 0 are empty" in fails(*command, "--frames", "0")
    assert "--incomplete '9' isn't" in fails(*command, "--incomplete", "9")
    assert not asked

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
import tifffile

from napari_vos.session.adaptation import StackAdaptation
from tests.lessons import LineLessons


@pytest.fixture
def reference_folder(tmp_path, fake):
    """Two blocks that stand still, on 30 frames; the engine of tests lets them walk."""
    images = np.random.default_rng(0).integers(0, 1000, (30, 24, 60), np.uint16)
    labels = np.stack([fake.blocks((24, 60), o1=(2, 2), o2=(12, 8))] * 30)
    folder = tmp_path / "data" / "blocks"
    folder.mkdir(parents=True)
    tifffile.imwrite(folder / "images.tif", images)
    tifffile.imwrite(folder / "labels.tif", labels)
    (folder / "meta.json").write_text(json.dumps({"annotated_frames": list(range(30))}))
    return tmp_path


def test_only_the_first_frame_is_told(reference_folder, factory, monkeypatch, capsys):
    seen = []

    def lessons(self, annotated):
        seen.append(sorted(annotated))
        return LineLessons()

    monkeypatch.setattr(StackAdaptation, "_lessons", lessons)
    adapt = importlib.import_module("adapt")
    arguments = ["--reference", reference_folder, "--sequences", "blocks", "--minutes", "0.01"]
    monkeypatch.setattr("sys.argv", ["adapt.py", *map(str, arguments)])
    adapt.main()
    report = json.loads(capsys.readouterr().out)
    assert seen == [[0]]
    figures = report["sequences"]["blocks"]
    assert 0 < figures["before"]["J"] == figures["after"]["J"] < 0.5
    assert figures["steps"] > 0
    assert figures["losses"][0][0] == 0
    assert report["summary"] == {"mean_gain": 0, "lowest_gain": 0, "n_gained": 0}
    # All was propagated, masks went there and back, and all was propagated again.
    adapted = [each["weights"] is not None for each in factory.arguments]
    assert adapted == [False, False, False, True, True, True]

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from napari_vos import FrameStack


@pytest.fixture
def reference_folder(tmp_path):
    """A textured square that moves by a pixel every other frame, on 30 frames."""
    rng = np.random.default_rng(0)
    ground = ndimage.gaussian_filter(rng.standard_normal((48, 48)), 2)
    square = 6 * ndimage.gaussian_filter(rng.standard_normal((16, 16)), 2)
    images = np.stack([ground] * 30)
    labels = np.zeros(images.shape, np.uint16)
    for t in range(30):
        window = (t, slice(10, 26), slice(2 + t // 2, 18 + t // 2))
        images[window] = square
        labels[window] = 5
    folder = tmp_path / "data" / "square"
    folder.mkdir(parents=True)
    tifffile.imwrite(folder / "images.tif", (5000 + 1000 * images).astype(np.uint16))
    tifffile.imwrite(folder / "labels.tif", labels)
    (folder / "meta.json").write_text(json.dumps({"annotated_frames": list(range(30))}))
    return tmp_path


@pytest.mark.parametrize(("method", "low", "high"), [("copy", 0.3, 0.7), ("flow", 0.7, 1.01)])
def test_baselines(reference_folder, tmp_path, monkeypatch, capsys, method, low, high):
    accuracy = importlib.import_module("accuracy")
    arguments = ["--reference", reference_folder, "--method", method, "--sequences", "square"]
    arguments += ["--cache", tmp_path / "kept"]
    monkeypatch.setattr("sys.argv", ["accuracy.py", *map(str, arguments)])
    accuracy.main()
    report = json.loads(capsys.readouterr().out)
    assert low < report["mean"]["J"] < high
    assert report["sequences"]["square"]["n_pairs"] == 29
    assert (tmp_path / "kept" / f"square-{method}.npz").exists()
    accuracy.main()
    assert json.loads(capsys.readouterr().out) == report


def test_flow_follows_the_texture():
    baselines = importlib.import_module("baselines")
    rng = np.random.default_rng(1)
    wide = ndimage.gaussian_filter(rng.standard_normal((40, 60)), 1.5)
    images = np.stack([wide[:, 10 - t : 50 - t] for t in range(4)])
    prompt = np.zeros((40, 40), np.uint16)
    prompt[14:26, 14:26] = 3
    labels = baselines.warp_by_flow(FrameStack(images, axes="TYX"), prompt, 3)
    expected = np.roll(prompt, 2, axis=1)
    assert ((labels[2] == 3) & (expected == 3)).sum() / (expected == 3).sum() > 0.9
    assert not labels[3].any()


def test_the_reference_baseline(reference):
    accuracy = importlib.import_module("accuracy")
    folder = reference / "data" / "hela_nuclei_01"
    figures = accuracy.score(accuracy.run_baseline("copy", folder, None), folder)
    assert figures["J"] == pytest.approx(0.46, abs=0.005)

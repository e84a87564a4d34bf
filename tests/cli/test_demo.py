from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

import napari_vos.simulation
from napari_vos.io import open_labels
from napari_vos.simulation import Modality, Scenario, simulate


@pytest.fixture
def movie(monkeypatch):
    """Stands for the demo's movie."""
    scenario = Scenario(
        modality=Modality.FLUORESCENCE, shape=(64, 80), n_frames=6, n_cells=4, diameter=16.0
    )
    movie = simulate(scenario, seed=3)
    monkeypatch.setattr(napari_vos.simulation, "sample", lambda name: movie)
    return movie


def test_files_and_figures(run_json, factory, movie, tmp_path):
    out = tmp_path / "new" / "demo"
    result = run_json("demo", "--out", out)
    assert np.array_equal(tifffile.imread(out / "images.tif"), movie.images)
    assert np.array_equal(tifffile.imread(out / "truth.tif"), movie.labels)
    assert open_labels(out / "prompts.tif").non_empty_frames() == [0]
    with Image.open(out / "overlay.gif") as picture:
        assert picture.n_frames == 6
    scores = run_json(
        "evaluate", out / "labels.tif", out / "truth.tif", "--prompts", out / "prompts.tif"
    )
    assert {key: result[key] for key in ("J", "F", "J&F", "ghosts")} == {
        key: scores[key] for key in ("J", "F", "J&F", "ghosts")
    }
    assert 0 < result["copied_first_frame"]["J"] < 1
    assert run_json("demo", "--out", out)["J"] == result["J"]


def test_text(run, factory, movie, tmp_path):
    code, out, _ = run("demo", "--out", tmp_path)
    assert code == 0
    assert "J&F" in out
    assert "First frame copied" in out


def test_a_folder_that_cannot_be_written(fails, factory, movie, tmp_path):
    (tmp_path / "file").touch()
    assert "--out" in fails("demo", "--out", tmp_path / "file" / "demo")

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import torch
from safetensors.torch import save_file

from napari_vos.networks.refinement import RefinementNetwork


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "refinement.safetensors"
    save_file(RefinementNetwork().state_dict(), path)
    return path


@pytest.fixture
def labels(tmp_path):
    labels = np.zeros((8, 24, 40), np.uint16)
    labels[:, 4:17, 5:20], labels[3, 9, 30] = 3, 900
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    return tmp_path / "labels.tif"


def test_labels_are_refined(run_json, images, labels, weights, tmp_path):
    out = tmp_path / "out.tif"
    result = run_json("refine", images, labels, "-o", out, "--weights", weights, "--factor", 2)
    assert result["n_frames"] == 8
    refined = tifffile.imread(out)
    assert refined.shape == (8, 24, 40)
    assert set(np.unique(refined[3])) == {0, 3, 900}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--factor", 3), "factor is 3"),
        (("--factor", 64), "factor is 64"),
        (("--certainty", 0.2), "certainty is 0.2"),
        (("--device", "abacus"), "abacus"),
    ],
)
def test_settings_that_cannot_be(fails, images, labels, weights, tmp_path, options, expected):
    out = tmp_path / "out.tif"
    said = fails("refine", images, labels, "-o", out, "--weights", weights, *options)
    assert expected in said
    assert not out.exists()


def test_labels_of_another_size(fails, images, weights, tmp_path):
    tifffile.imwrite(tmp_path / "other.tif", np.ones((8, 24, 41), np.uint16))
    said = fails(
        "refine", images, tmp_path / "other.tif", "-o", tmp_path / "o.tif", "--weights", weights
    )
    assert "(8, 24, 41)" in said
    assert "(8, 24, 40)" in said


def test_missing_weights(fails, images, labels, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_vos.checkpoints.registered", lambda: ())
    said = fails("refine", images, labels, "-o", tmp_path / "out.tif")
    assert "napari-vos train refinement" in said
    assert "nothing.pth" in fails(
        "refine", images, labels, "-o", tmp_path / "out.tif", "--weights", "nothing.pth"
    )


def test_an_output_that_is_there(fails, images, labels, weights, tmp_path):
    said = fails("refine", images, labels, "-o", labels, "--weights", weights)
    assert "exists already" in said


def test_training_takes_the_recipe(run, fails, tmp_path, monkeypatch):
    from napari_vos.training import refinement

    asked = []

    def train(recipe, *, report):
        asked.append(recipe)
        report("step 20")
        return recipe.out / "refinement.safetensors"

    monkeypatch.setattr(refinement, "train", train)
    code, _, err = run("train", "refinement", "--out", tmp_path, "--minutes", "3", "--seed", "4")
    assert (code, err) == (0, "step 20\n")
    assert asked == [refinement.RefinementTraining(out=tmp_path, minutes=3.0, seed=4)]
    assert "images.tif" in fails("train", "refinement", "--movie", tmp_path)
    for name in ("images.tif", "labels.tif"):
        (tmp_path / name).touch()
    assert run("train", "refinement", "--movie", tmp_path)[0] == 0
    assert asked[1].movies == (tmp_path,)


@pytest.mark.parametrize(("engine", "scale"), [("compact", "full"), ("mast", "half")])
def test_propagating_with_refinement(run_json, factory, images, prompts, tmp_path, engine, scale):
    run_json(
        "propagate", images, prompts, "-o", tmp_path / "out.tif", "--engine", engine, "--refine"
    )
    assert factory.arguments[0]["config"].refine == scale


def test_refinement_keeps_the_other_settings(
    run_json, factory, images, prompts, tmp_path, mivos_files
):
    propagation, fusion = mivos_files
    weights = ("--weights", propagation, "--fusion-weights", fusion)
    out = tmp_path / "out.tif"
    run_json("propagate", images, prompts, "-o", out, "--engine", "mivos", *weights, "--refine")
    config = factory.arguments[0]["config"]
    assert (config.refine, config.fusion_weights) == ("half", str(fusion))


def test_an_engine_that_cannot_be_refined(fails, images, prompts, tmp_path):
    out = tmp_path / "out.tif"
    said = fails("propagate", images, prompts, "-o", out, "--engine", "other", "--refine")
    assert "'other'" in said

"""The main job with the engine and the weights of the package."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import torch
from safetensors.torch import load, save_file

from napari_vos import checkpoints
from napari_vos.simulation import Modality, Scenario, simulate


@pytest.fixture(scope="module")
def movie():
    scenario = Scenario(
        modality=Modality.FLUORESCENCE,
        shape=(128, 128),
        n_frames=5,
        n_cells=5,
        diameter=26.0,
        speed=0.12,
        drift=(2.0, 1.5),
        division_rate=0.0,
        death_rate=0.0,
        entry_rate=0.0,
    )
    return simulate(scenario, seed=4)


def test_propagate_evaluate_and_replay(run_json, movie, tmp_path):
    prompts = np.zeros_like(movie.labels)
    prompts[0] = movie.labels[0]
    copied = np.repeat(movie.labels[:1], 5, axis=0)
    stacks = {"images": movie.images, "prompts": prompts, "truth": movie.labels, "copied": copied}
    for name, stack in stacks.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, photometric="minisblack")
    result = run_json(
        "propagate",
        tmp_path / "images.tif",
        tmp_path / "prompts.tif",
        "-o",
        tmp_path / "labels.tif",
    )
    assert result["n_propagated"] == 4
    scores = {
        name: run_json(
            "evaluate",
            tmp_path / f"{name}.tif",
            tmp_path / "truth.tif",
            "--prompts",
            tmp_path / "prompts.tif",
        )["J"]
        for name in ("labels", "copied")
    }
    assert scores["labels"] > max(0.75, scores["copied"] + 0.1)
    assert run_json("replay", tmp_path / "labels.session")["identical"]


def test_what_was_mistyped_can_be_mended(fails, run_json, images, prompts, tmp_path):
    (tmp_path / "diary.safetensors").write_text("Dear diary")
    arguments = ("propagate", images, prompts, "-o", tmp_path / "out.tif")
    damaged = fails(*arguments, "--weights", tmp_path / "diary.safetensors")
    assert "diary.safetensors" in damaged
    assert "typo" in fails(*arguments, "--weights", "typo")
    assert "mivo" in fails(*arguments, "--engine", "mivo")
    assert "qpu" in fails(*arguments, "--device", "qpu")
    assert "float7" in fails(*arguments, "--precision", "float7")
    assert run_json(*arguments, "--frames", "0:3")["n_propagated"] == 2


@pytest.mark.parametrize("spoil", ["cut off", "another network", "a layer is missing"])
def test_weights_that_do_not_fit(fails, images, prompts, tmp_path, spoil):
    path = tmp_path / "mine.safetensors"
    content = checkpoints.resolve(None, "compact").read_bytes()
    path.write_bytes(content[: len(content) // 2])
    if spoil == "another network":
        save_file({"conv1.weight": torch.zeros(2, 2)}, path)
    elif spoil == "a layer is missing":
        save_file({k: v for k, v in load(content).items() if k != "key.weight"}, path)
    said = fails("propagate", images, prompts, "-o", tmp_path / "out.tif", "--weights", path)
    assert str(path) in said
    assert not (tmp_path / "out.tif").exists()


def test_the_weights_of_the_package(run_json):
    (listed,) = [w for w in run_json("weights", "list")["weights"] if w["name"] == "compact"]
    assert (
        listed["card"]["sha256"] == run_json("weights", "check", "compact")["weights"][0]["sha256"]
    )

from __future__ import annotations

from pathlib import Path

import pytest

from napari_vos.training import mivos
from napari_vos.training.mivos import MivosTraining


@pytest.fixture
def asked(monkeypatch):
    asked = []

    def train(frames, labels, recipe, *, report):
        asked.append((frames, labels, recipe))
        report("a line")
        return recipe.out / "mivos_propagation.safetensors"

    monkeypatch.setattr(mivos, "train", train)
    return asked


def test_it_trains_on_images_and_labels(run, run_json, asked, images, prompts):
    command = ("train", "mivos", images, "--labels", prompts, "--weights", "official.pth")
    code, text, err = run(*command)
    assert (code, err) == (0, "a line\n")
    assert "napari-vos-mivos/mivos_propagation.safetensors" in text
    frames, labels, recipe = asked[-1]
    assert (frames.n_frames, *frames.shape) == labels.shape
    assert recipe == MivosTraining(Path("napari-vos-mivos"), Path("official.pth"))
    printed = run_json(*command, "-o", "out", "--minutes", 2, "--seed", 5)
    assert printed["weights"] == "out/mivos_propagation.safetensors"
    assert asked[-1][2] == MivosTraining(Path("out"), Path("official.pth"), minutes=2, seed=5)
    run_json(*command, "--fusion-weights", "fusion.pth")
    assert asked[-1][2].fusion_weights == Path("fusion.pth")


def test_what_cannot_be_used(fails, images, prompts):
    command = ("train", "mivos", images, "--labels", prompts)
    assert "There is no weights file none.pth" in fails(*command, "--weights", "none.pth")

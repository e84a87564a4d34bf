from __future__ import annotations

from pathlib import Path

from napari_vos.training import instances


def test_instances_recipe(run_json, fails, tmp_path, monkeypatch):
    asked = []

    def train(recipe, *, report):
        asked.append(recipe)
        return recipe.out / "cells.safetensors"

    monkeypatch.setattr(instances, "train", train)
    assert "images.tif" in fails("train", "instances", "--movie", tmp_path)
    for name in ("images.tif", "labels.tif"):
        (tmp_path / name).touch()
    printed = run_json("train", "instances", "--minutes", "2", "--movie", tmp_path)
    assert printed == {"weights": "napari-vos-instances/cells.safetensors"}
    out = Path("napari-vos-instances")
    assert asked == [instances.InstancesTraining(out=out, minutes=2, movies=(tmp_path,))]

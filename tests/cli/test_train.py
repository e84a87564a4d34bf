from __future__ import annotations

from pathlib import Path

import pytest

from napari_vos.training import compact, fusion, interaction, mast


@pytest.fixture
def recipes(monkeypatch):
    """What `train` was asked for; it reports one line and trains nothing."""
    asked = []

    def train(recipe, *, report):
        asked.append(recipe)
        report("step 20")
        return recipe.out / "compact.safetensors"

    monkeypatch.setattr(compact, "train", train)
    return asked


def test_recipe(run, recipes, tmp_path):
    for name in ("images.tif", "labels.tif"):
        (tmp_path / name).touch()
    arguments = ("--out", tmp_path / "out", "--minutes", "1.5", "--movie", tmp_path, "--json")
    code, out, err = run("train", "compact", *arguments)
    assert code == 0
    assert out.strip() == f'{{"weights": "{tmp_path / "out" / "compact.safetensors"}"}}'
    assert err == "step 20\n"
    expected = compact.CompactTraining(out=tmp_path / "out", minutes=1.5, movies=(tmp_path,))
    assert recipes == [expected]


def test_defaults_are_those_of_the_recipe(run, recipes):
    assert run("train", "compact")[0] == 0
    out = Path("napari-vos-training")
    assert recipes == [compact.CompactTraining(out=out)]


def test_movies_that_are_none(fails, recipes, tmp_path):
    assert "images.tif" in fails("train", "compact", "--movie", tmp_path)
    assert not recipes


@pytest.fixture
def mast_recipes(monkeypatch):
    """What `train mast` was asked for; it trains nothing."""
    asked = []

    def train(recipe, *, report):
        asked.append(recipe)
        return recipe.out / "mast_small.safetensors"

    monkeypatch.setattr(mast, "train", train)
    return asked


def test_mast_recipe(run_json, mast_recipes, tmp_path):
    out = tmp_path / "out"
    arguments = ("a.tif", "b.zarr", "--out", out, "--minutes", "2", "--start-from", "compact")
    printed = run_json("train", "mast", *arguments)
    assert printed == {"weights": str(out / "mast_small.safetensors")}
    (recipe,) = mast_recipes
    assert (recipe.movies, recipe.scenes) == ((Path("a.tif"), Path("b.zarr")), 0)
    assert (recipe.minutes, recipe.start_from.name) == (2, "compact.safetensors")


def test_mast_defaults_are_those_of_the_recipe(run, fails, mast_recipes):
    assert run("train", "mast")[0] == 0
    assert mast_recipes == [mast.MastTraining(out=Path("napari-vos-mast"))]
    assert "nothing to learn from" in fails("train", "mast", "--scenes", "0")


def test_interaction_defaults_are_those_of_the_recipe(run_json, monkeypatch):
    asked = []
    monkeypatch.setattr(
        interaction, "train", lambda recipe, *, report: asked.append(recipe) or recipe.out / "file"
    )
    out = Path("napari-vos-interaction")
    assert run_json("train", "interaction") == {"weights": str(out / "file")}
    assert asked == [interaction.InteractionTraining(out=out)]


def test_fusion_defaults_are_those_of_the_recipe(run_json, monkeypatch):
    asked = []
    monkeypatch.setattr(
        fusion, "train", lambda recipe, *, report: asked.append(recipe) or recipe.out / "file"
    )
    out = Path("napari-vos-fusion")
    assert run_json("train", "fusion") == {"weights": str(out / "file")}
    assert asked == [fusion.FusionTraining(out=out)]

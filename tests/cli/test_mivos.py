"""Propagating with MiVOS from the command line, with files of its two networks."""

from __future__ import annotations

import json

import pytest
import tifffile


@pytest.fixture
def arguments(images, prompts, tmp_path):
    return ("propagate", images, prompts, "-o", tmp_path / "out.tif", "--engine", "mivos")


@pytest.mark.slow
def test_corrections_are_fused_with_the_network_that_is_named(
    run_json, fails, arguments, mivos_files, prompts, tmp_path
):
    weights, fusion = mivos_files
    named = (*arguments, "--weights", weights, "--fusion-weights", fusion)
    assert run_json(*named)["n_propagated"] == 7
    painted = tifffile.imread(prompts)
    painted[7] = painted[0]
    tifffile.imwrite(prompts, painted)
    assert run_json(*named)["n_propagated"] == 6
    told = json.loads((tmp_path / "out.session" / "session.json").read_text())["engine"]
    assert told["config"]["fields"]["fusion_weights"] == str(fusion)
    said = fails(*arguments, "--weights", weights)
    assert "was made with config memory_every=5" in said
    assert f"fusion_weights={fusion}" in said


def test_files_are_asked_for(fails, arguments, mivos_files, tmp_path):
    said = fails(*arguments)
    assert "https://github.com/hkchengrex/MiVOS" in said
    assert "'compact' needs none" in said
    weights, fusion = mivos_files
    assert "mivos_propagation are wanted" in fails(*arguments, "--weights", fusion)
    missing = tmp_path / "missing.pth"
    assert str(missing) in fails(*arguments, "--weights", weights, "--fusion-weights", missing)
    said = fails(*arguments, "--weights", weights, "--fusion-weights", weights)
    assert "mivos_fusion are wanted" in said


@pytest.mark.slow
def test_objects_that_do_not_fit_are_refused(fails, arguments, mivos_files, tmp_path):
    said = fails(*arguments, "--weights", mivos_files[0], "--memory", "10MB")
    assert "2 objects at once take about" in said
    assert "10 MB may be used: none would fit" in said


def test_fusion_weights_are_for_mivos_alone(fails, arguments, mivos_files, tmp_path):
    said = fails(*arguments[:-1], "compact", "--fusion-weights", mivos_files[1])
    assert "--fusion-weights is for the engine 'mivos'" in said
    assert not (tmp_path / "out.session").exists()

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile


@pytest.fixture
def stacks(fake, tmp_path):
    """Result, truth and prompts: object 1 is shifted by one of its four columns, 2 by two."""
    shape = (24, 40)
    truth = np.stack([fake.blocks(shape, o1=(2, 2), o2=(10, 20))] * 4)
    truth[3][truth[3] == 2] = 0
    result = np.stack([fake.blocks(shape, o1=(2, 3), o2=(10, 22))] * 4)
    prompts = np.zeros_like(truth)
    prompts[0] = truth[0]
    paths = []
    for name, stack in (("result", result), ("truth", truth), ("prompts", prompts)):
        paths.append(tmp_path / f"{name}.tif")
        tifffile.imwrite(paths[-1], stack, photometric="minisblack")
    return paths


def test_scores(run_json, stacks):
    result, truth, prompts = stacks
    scores = run_json("evaluate", result, truth, "--prompts", prompts)
    assert scores["J"] == pytest.approx((12 / 20 + 8 / 24) / 2)
    assert scores["n_pairs"] == 5
    assert scores["ghosts"] == pytest.approx(1 / 6)
    assert run_json("evaluate", result, truth)["n_pairs"] == 7
    short = run_json("evaluate", result, truth, "--prompts", prompts, "--frames", "0:3")
    assert short["n_pairs"] == 4


def test_annotation_beside_the_truth(run_json, stacks, tmp_path):
    result, truth, prompts = stacks
    (tmp_path / "meta.json").write_text(json.dumps({"annotated_frames": [0, 1]}))
    scores = run_json("evaluate", result, truth, "--prompts", prompts)
    assert (scores["n_held"], scores["ghosts"]) == (2, 0)


def test_only_prompted_objects(run_json, stacks):
    result, truth, prompts = stacks
    labels = tifffile.imread(prompts)
    labels[labels == 2] = 0
    tifffile.imwrite(prompts, labels, photometric="minisblack")
    arguments = ("evaluate", result, truth, "--prompts", prompts)
    assert run_json(*arguments)["n_objects"] == 1
    assert run_json(*arguments, "--all-objects")["n_objects"] == 2


def test_text(run, stacks):
    code, out, _ = run("evaluate", *stacks[:2])
    assert code == 0
    assert out.startswith("J 0.467   F ")


def test_bad_input(fails, stacks, tmp_path):
    result, truth, _ = stacks
    assert "no file or folder" in fails("evaluate", result, tmp_path / "no.tif")
    tifffile.imwrite(result, tifffile.imread(result)[:2])
    assert "(2, 24, 40)" in fails("evaluate", result, truth)


def test_instances(run, run_json, fails, stacks, tmp_path):
    result, truth, prompts = stacks
    scores = run_json("evaluate", result, truth, "--instances")
    # On each frame object 1 overlaps by 12 of 20 pixels; 2 by 8 of 24, and it ends before the last.
    assert scores["AP50"] == pytest.approx(4 / (7 + 8 - 4))
    assert scores["recall"] == pytest.approx(4 / 7)
    assert scores["SEG"] == pytest.approx(4 * 12 / 20 / 7)
    (tmp_path / "meta.json").write_text(json.dumps({"annotated_frames": []}))
    code, out, _ = run("evaluate", result, truth, "--instances", "--frames", "0:2")
    assert code == 0
    assert out.startswith("recall 0.500   SEG 0.300\n4 instances, 0 frames")
    message = fails("evaluate", result, truth, "--instances", "--prompts", prompts)
    assert "leave --prompts" in message

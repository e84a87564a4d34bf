"""The figures of benchmarks/refinement.py on small labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import torch
from safetensors.torch import save_file

from napari_vos.networks.refinement import RefinementNetwork


@pytest.fixture
def truth():
    rows, columns = np.indices((50, 61))
    labels = np.zeros((50, 61), np.uint16)
    labels[np.hypot(rows - 24, columns - 20) < 15] = 4
    labels[np.hypot(rows - 24, columns - 44) < 12] = 9
    return labels


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("kind", ["masks", "areas"])
def test_coarse_labels_lose_only_borders(truth, factor, kind):
    from refinement import coarsen, compare

    coarse = coarsen(truth, factor, kind)
    assert coarse.shape == truth.shape
    assert (coarse != truth).any()
    assert set(np.unique(coarse)) == {0, 4, 9}
    scores = compare(coarse, truth)
    assert 0.75 < scores["J"] < 1
    assert compare(truth, truth) == {"J": 1.0, "F": 1.0}
    if factor > 2:
        assert scores["J"] < compare(coarsen(truth, factor // 2, kind), truth)["J"]


def test_masks_lose_more_than_areas(truth):
    from refinement import coarsen, compare

    masks, areas = (compare(coarsen(truth, 4, kind), truth) for kind in ("masks", "areas"))
    assert masks["J"] < areas["J"]
    assert masks["F"] < areas["F"]


def test_large_objects_at_the_scale_of_their_windows():
    from refinement import compare, larger_than_window, through_window

    rows, columns = np.indices((210, 190))
    truth = np.zeros(rows.shape, np.uint16)
    truth[np.hypot(rows - 100, columns - 90) < 80] = 7
    truth[2:40, 2:40] = 3
    assert larger_than_window(truth) == {7: 159}
    item = through_window(truth, 7, 159)
    assert 0 < np.mean((item.probability > 0.1) & (item.probability < 0.9)) < 0.15
    told = np.zeros_like(truth)
    told[item.box.slices] = 7 * (item.probability > 0.5)
    assert compare(told, np.where(truth == 7, truth, 0))["J"] > 0.98


def test_a_constant_image_keeps_what_was_given(truth, tmp_path):
    from refinement import annotated_frames, score

    labels = np.stack([truth, np.zeros_like(truth), truth])
    for name, stack in (("images", np.full_like(labels, 7)), ("labels", labels)):
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, photometric="minisblack")
    (tmp_path / "meta.json").write_text(json.dumps({"annotated_frames": [1, 2]}))
    frames = annotated_frames(tmp_path, 5)
    assert frames == [2]
    torch.manual_seed(0)
    save_file(RefinementNetwork().state_dict(), tmp_path / "weights.safetensors")
    found = score(tmp_path, frames, 4, {"weights": tmp_path / "weights.safetensors"})
    assert found["refined"] == found["bilinear"]

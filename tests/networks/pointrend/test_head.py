from __future__ import annotations

import pytest
import torch

from napari_vos.networks.pointrend import LayeredPointHead, PointHead, sample_points
from tests.golden import assert_near, fill, golden_arrays, golden_shapes, shapes_of


def test_keys_and_shapes_are_those_of_the_published_head() -> None:
    assert shapes_of(PointHead()) == golden_shapes("pointrend_head")


@torch.no_grad()
def test_logits_at_points() -> None:
    golden = golden_arrays("pointrend_train")
    head = PointHead(21, 5)
    fill(head, "pointrend_head")
    coarse, fine = (sample_points(golden[name], golden["points"]) for name in ("coarse", "res2"))
    assert_near(head(coarse, fine), golden["rend"], 1e-4)


def test_layers_are_those_of_the_reference() -> None:
    shapes = shapes_of(LayeredPointHead(256, 19, 19))
    assert shapes["fc1.weight"] == (256, 256 + 19, 1)
    assert shapes["fc2.weight"] == shapes["fc3.weight"] == (256, 256 + 19, 1)
    assert shapes["predictor.weight"] == (19, 256 + 19, 1)
    assert len(shapes) == 8


@pytest.mark.parametrize("layer", ["fc1", "fc2", "fc3", "predictor"])
@torch.no_grad()
def test_the_coarse_prediction_enters_each_layer_after_the_features(layer: str) -> None:
    head = LayeredPointHead(8, 2, 2, width=8)
    coarse, fine = torch.randn(1, 2, 6), torch.randn(1, 8, 6)
    before = head(coarse, fine)
    head.get_submodule(layer).weight[:, -2:] += 0.5
    assert not torch.allclose(head(coarse, fine), before)

from __future__ import annotations

import pytest
import torch

from napari_vos.networks.pointrend import (
    centers_of,
    most_uncertain_cells,
    sample_points,
    uncertainty,
)
from tests.golden import assert_near, golden_arrays


@pytest.mark.parametrize(
    ("mode", "align_corners"), [("bilinear", False), ("bilinear", True), ("nearest", False)]
)
def test_what_maps_hold_at_points(mode: str, align_corners: bool) -> None:
    golden = golden_arrays("pointrend_point_sample")
    sampled = sample_points(golden["x"], golden["points"], mode=mode, align_corners=align_corners)
    assert_near(sampled, golden[f"{mode}_align_{align_corners}".lower()], 1e-6)


def test_the_most_uncertain_cells_of_a_map() -> None:
    golden = golden_arrays("pointrend_inference")
    cells, points = most_uncertain_cells(golden["coarse"], 64)
    assert torch.equal(cells, golden["topk64_idx"])
    assert_near(points, golden["topk64_points"], 1e-6)


def test_fewer_cells_than_wanted_are_all_of_them() -> None:
    cells, _ = most_uncertain_cells(torch.randn(1, 2, 3, 4), 64)
    assert sorted(cells[0].tolist()) == list(range(12))


def test_one_class_is_uncertain_where_its_logit_is_near_0() -> None:
    logits = torch.tensor([-3.0, 0.5, 2.0]).reshape(1, 1, 3)
    assert uncertainty(logits).tolist() == [[-3.0, -0.5, -2.0]]


def test_several_classes_are_uncertain_where_two_are_near_each_other() -> None:
    logits = torch.tensor([[5.0, 4.5, 0.0], [1.0, -2.0, -2.0]]).T[None]
    assert_near(uncertainty(logits), torch.tensor([[-0.5, -3.0]]), 1e-6)


def test_a_map_sampled_at_its_centers_is_the_map() -> None:
    maps = torch.randn(1, 3, 5, 7)
    points = centers_of(torch.arange(35), (5, 7))[None]
    assert_near(sample_points(maps, points), maps.flatten(2), 1e-5)

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from napari_vos.networks.pointrend import (
    REFERENCE,
    SINGLE_LAYER,
    PointHead,
    doublings,
    halvings,
    most_uncertain_cells,
    sample_points,
    subdivide,
)
from tests.golden import assert_near, fill, golden_arrays


class Recorder:
    """A head that says 0 and remembers what it was asked."""

    def __init__(self) -> None:
        self.coarse: list[Tensor] = []

    def __call__(self, coarse: Tensor, fine: Tensor) -> Tensor:
        self.coarse.append(coarse)
        return torch.zeros_like(coarse)


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return golden_arrays("pointrend_inference")


@pytest.fixture(scope="module")
def head() -> PointHead:
    head = PointHead(21, 5)
    fill(head, "pointrend_head")
    return head.requires_grad_(False)


@pytest.mark.parametrize("n_points", [512, 8096])
def test_the_published_loop(golden: dict[str, Tensor], head: PointHead, n_points: int) -> None:
    sizes = list(doublings((16, 32), 3))
    assert sizes[-1] == (128, 256)
    form = replace(SINGLE_LAYER, n_points=n_points)
    rendered = subdivide(golden["coarse"], golden["res2"], head, sizes, form)
    assert_near(rendered, golden[f"fine_n{n_points}"], 1e-3)
    differing = rendered.argmax(dim=1) != golden[f"fine_n{n_points}_argmax"]
    assert differing.float().mean() < 1e-3


def test_the_cells_of_each_step(golden: dict[str, Tensor], head: PointHead) -> None:
    form = replace(SINGLE_LAYER, n_points=512)
    so_far, size = golden["coarse"], (16, 32)
    for step in range(3):
        sizes = list(doublings(size, 1))
        enlarged = functional.interpolate(
            so_far, size=sizes[0], mode="bilinear", align_corners=True
        )
        cells, _ = most_uncertain_cells(enlarged, 512)
        assert torch.equal(cells.sort(dim=1).values, golden[f"n512_idx_sorted_step{step}"])
        so_far, size = subdivide(so_far, golden["res2"], head, sizes, form), sizes[0]
    assert_near(so_far, golden["fine_n512"], 1e-3)


def test_halvings_are_doublings_where_the_ratio_is_a_power_of_two() -> None:
    assert halvings((16, 32), (128, 256)) == list(doublings((16, 32), 3))


@pytest.mark.parametrize("target", [(100, 131), (17, 33), (16, 32), (3, 500), (1, 1)])
def test_halvings_end_at_any_size(target: tuple[int, int]) -> None:
    sizes = halvings((16, 32), target)
    assert sizes[-1] == target
    assert len(sizes) <= 5
    rendered = subdivide(
        torch.randn(1, 2, 16, 32), torch.randn(1, 3, 16, 32), Recorder(), sizes, SINGLE_LAYER
    )
    assert rendered.shape == (1, 2, *target)


def test_the_reference_reads_the_coarse_prediction_it_began_with() -> None:
    coarse = torch.randn(1, 2, 8, 8)
    for form, equal in ((REFERENCE, True), (SINGLE_LAYER, False)):
        asked = Recorder()
        form = replace(form, n_points=20)
        subdivide(coarse, torch.zeros(1, 1, 8, 8), asked, doublings((8, 8), 2), form)
        enlarged = functional.interpolate(coarse, scale_factor=2, mode="bilinear")
        # At the second step points of the first one are 0 in the refined map.
        cells, _ = most_uncertain_cells(enlarged, 20)
        refined = enlarged.flatten(2).scatter(2, cells[:, None].expand(-1, 2, -1), 0.0)
        again = functional.interpolate(
            refined.unflatten(2, (16, 16)), scale_factor=2, mode="bilinear"
        )
        _, points = most_uncertain_cells(again, 20)
        same = torch.allclose(asked.coarse[1], sample_points(coarse, points), atol=1e-5)
        assert same is equal


def test_the_reference_skips_steps_that_would_predict_every_cell() -> None:
    asked = Recorder()
    form = replace(REFERENCE, n_points=16 * 16)
    coarse = torch.ones(1, 1, 8, 8)
    rendered = subdivide(coarse, torch.zeros(1, 1, 8, 8), asked, doublings((8, 8), 2), form)
    assert len(asked.coarse) == 1
    assert rendered.shape == (1, 1, 32, 32)
    assert int((rendered == 0).sum()) == form.n_points


def test_the_reference_enlarges_by_half_pixels() -> None:
    ramp = torch.arange(4.0).reshape(1, 1, 1, 4).expand(-1, -1, 4, -1)
    form = replace(REFERENCE, n_points=0)
    rendered = subdivide(ramp, ramp, Recorder(), doublings((4, 4), 1), form)
    assert_near(rendered[0, 0, 0], torch.tensor([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]), 1e-6)

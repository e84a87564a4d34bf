from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from napari_vos.networks.pointrend import PointHead
from napari_vos.training.points import choose_points, draw_points, joint_loss
from tests.golden import assert_near, golden_arrays


@pytest.mark.parametrize("number", ["", "_n100"])
def test_the_points_of_the_published_training_step(number: str) -> None:
    golden = golden_arrays("pointrend_train")
    candidates, elsewhere = golden[f"over{number}"], golden[f"coverage{number}"]
    expected = golden[f"points{number}"]
    n_points = expected.shape[1]
    points = choose_points(golden["coarse"], candidates, elsewhere, n_points, sort_first=True)
    assert_near(points, expected, 1e-6)


def test_sampling_raw_logits_chooses_other_points() -> None:
    golden = golden_arrays("pointrend_train")
    raw = choose_points(golden["coarse"], golden["over_n100"], golden["coverage_n100"], 100)
    assert raw.shape == golden["points_n100"].shape
    assert not torch.equal(raw, golden["points_n100"])


def test_how_many_points_are_drawn() -> None:
    candidates, elsewhere = draw_points(2, 30, generator=torch.Generator().manual_seed(0))
    assert candidates.shape == (2, 90, 2)
    assert elsewhere.shape == (2, 8, 2)


def test_points_gather_where_classes_meet() -> None:
    left = torch.linspace(-4, 4, 32).expand(1, 1, 32, 32)
    drawn = draw_points(1, 400, generator=torch.Generator().manual_seed(0))
    points = choose_points(torch.cat([left, -left], dim=1), *drawn, 400)
    distance = (points[0, :, 0] - 0.5).abs()
    assert float(distance[:300].quantile(0.95)) < 0.16
    assert float(distance[300:].max()) > 0.4


class SmallNetwork(nn.Module):
    """What a semantic network offers to training, in two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(3, 4, 8, stride=8)
        self.coarse = nn.Conv2d(4, 2, 3, padding=1)
        self.head = PointHead(4 + 2, 2)

    def predict_coarse(self, image: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(image)
        return self.coarse(fine), fine


def test_joint_steps_lower_the_loss_of_both_predictions() -> None:
    torch.manual_seed(0)
    network = SmallNetwork()
    labels = torch.zeros(2, 64, 64, dtype=torch.int64)
    labels[:, 16:40, 20:50] = 1
    images = (labels == 1).float()[:, None].expand(-1, 3, -1, -1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = joint_loss(network, images, labels, generator=torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    network.head.requires_grad_(False).mlp.weight.zero_()
    network.head.mlp.bias.zero_()
    at_chance = joint_loss(network, images, labels).item()
    assert losses[-1] < at_chance  # the head has learnt beside the coarse prediction


def test_ignored_pixels_do_not_count() -> None:
    torch.manual_seed(0)
    network, images = SmallNetwork(), torch.randn(1, 3, 32, 256)
    labels = torch.zeros(1, 32, 256, dtype=torch.int64)
    labels[:, :, :128] = 255
    changed = images.clone()
    changed[:, :, :, :64] += 5
    drawn = [torch.Generator().manual_seed(0) for _ in range(2)]
    network.coarse.weight.data.zero_()  # so that the same points are chosen
    network.head.mlp.weight.data[:, :2] = 0
    losses = [
        joint_loss(network, x, labels, generator=generator)
        for x, generator in zip((images, changed), drawn, strict=True)
    ]
    torch.testing.assert_close(*losses)

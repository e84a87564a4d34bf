from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from napari_vos.training.yolact import (
    focal_loss,
    mined_cross_entropy,
    objectness_loss,
    sigmoid_focal_loss,
)

LOG2 = math.log(2)
ClassLoss = Callable[[Tensor, Tensor], Tensor]


def test_the_hardest_negatives_of_each_image_are_mined() -> None:
    logits = torch.zeros(2, 6, 2)
    logits[0, :, 1] = torch.tensor([0.0, 3, 1, 2, 9, 0])
    classes = torch.tensor([[1, 0, 0, 0, -1, 0], [0, 0, 0, 0, 0, 0]])
    # One positive has three negatives: not the neutral prior, not the easiest one.
    # An image without positives has none.
    expected = LOG2 + sum(math.log1p(math.exp(x)) for x in (3, 1, 2))
    assert float(mined_cross_entropy(logits, classes)) == pytest.approx(expected)


def test_fewer_negatives_than_wanted() -> None:
    classes = torch.tensor([[1, 0, 0]])
    assert float(mined_cross_entropy(torch.zeros(1, 3, 2), classes)) == pytest.approx(3 * LOG2)


def test_focal_loss_by_hand() -> None:
    logits = torch.log(torch.tensor([[[0.2, 0.7, 0.1], [0.9, 0.05, 0.05], [0.1, 0.1, 0.8]]]))
    classes = torch.tensor([[1, 0, -1]])
    expected = -0.25 * 0.3**2 * math.log(0.7) - 0.75 * 0.1**2 * math.log(0.9)
    assert float(focal_loss(logits, classes)) == pytest.approx(expected)


def test_sigmoid_focal_loss_by_hand() -> None:
    probs = torch.tensor([[[0.5, 0.7, 0.1], [0.5, 0.2, 0.4], [0.5, 0.9, 0.9]]])
    classes = torch.tensor([[1, 0, -1]])
    expected = (
        -0.25 * 0.3**2 * math.log(0.7)
        - 0.75 * 0.1**2 * math.log(0.9)
        - 0.75 * 0.2**2 * math.log(0.8)
        - 0.75 * 0.4**2 * math.log(0.6)
    )
    assert float(sigmoid_focal_loss(probs.logit(), classes)) == pytest.approx(expected)


def test_objectness_loss_by_hand() -> None:
    logits = torch.tensor([[[0.6, 0.0, 0.0], [0.3, 0.0, 0.0], [0.9, 0.0, 0.0]]])
    logits[..., 0] = logits[..., 0].logit()
    logits[0, 0, 1:] = torch.log(torch.tensor([0.2, 0.8]))
    classes = torch.tensor([[2, 0, -1]])
    expected = -0.25 * 0.4**2 * math.log(0.6) - 0.75 * 0.3**2 * math.log(0.7) - math.log(0.8)
    assert float(objectness_loss(logits, classes)) == pytest.approx(expected)


@pytest.mark.parametrize(
    "loss", [mined_cross_entropy, focal_loss, sigmoid_focal_loss, objectness_loss]
)
def test_gradients(loss: ClassLoss) -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn((2, 5, 3), generator=random, dtype=torch.float64, requires_grad=True)
    classes = torch.tensor([[0, 1, 2, -1, 0], [0, 0, 2, -1, 1]])
    assert gradcheck(lambda x: loss(x, classes), logits)


@pytest.mark.parametrize(
    "loss", [mined_cross_entropy, focal_loss, sigmoid_focal_loss, objectness_loss]
)
def test_sure_and_wrong_costs_much_and_stays_finite(
    loss: ClassLoss,
) -> None:
    logits = torch.tensor([[[-200.0, 200, 0], [200, -200, 0]]], requires_grad=True)
    right, wrong = torch.tensor([[1, 1]]), torch.tensor([[2, 2]])
    value = loss(logits, wrong)
    value.backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert value.item() > 40
    assert value.item() > loss(logits, right).item() - 1e-6

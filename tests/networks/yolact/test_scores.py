from __future__ import annotations

import torch

from napari_vos.networks.yolact import objectness_scores, sigmoid_scores, softmax_scores
from tests.golden import assert_near

LOGITS = torch.tensor([[0.2, 0.5, 0.3]]).log()


def test_scores_leave_the_background_out() -> None:
    assert_near(softmax_scores(LOGITS), torch.tensor([[0.5, 0.3]]), 1e-6)
    assert_near(sigmoid_scores(LOGITS), torch.tensor([[0.5 / 1.5, 0.3 / 1.3]]), 1e-6)
    expected = 0.2 / 1.2 * torch.tensor([[0.5 / 0.8, 0.3 / 0.8]])
    assert_near(objectness_scores(LOGITS), expected, 1e-6)

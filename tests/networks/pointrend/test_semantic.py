from __future__ import annotations

import pytest
import torch

from napari_vos.networks.pointrend import SemanticPointRend
from tests.golden import golden_shapes, shapes_of


def test_keys_and_shapes_are_those_of_the_published_checkpoint() -> None:
    with torch.device("meta"):
        network = SemanticPointRend()
    assert list(shapes_of(network).items()) == list(golden_shapes("pointrend_res50_full").items())


@pytest.fixture(scope="module")
def network() -> SemanticPointRend:
    torch.manual_seed(0)
    return SemanticPointRend(3).eval().requires_grad_(False)


def test_coarse_prediction_and_features_have_stride_8(network: SemanticPointRend) -> None:
    coarse, fine = network.predict_coarse(torch.randn(2, 3, 64, 48))
    assert coarse.shape == (2, 3, 8, 6)
    assert fine.shape == (2, 512, 8, 6)


def test_frames_of_any_size_are_rendered_at_their_size(network: SemanticPointRend) -> None:
    assert network(torch.randn(1, 3, 50, 67)).shape == (1, 3, 50, 67)

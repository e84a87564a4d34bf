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


@pytest.mark.parametrize(("layers", "blocks"), [(53, 6), (103, 23)])
def test_trunks_with_small_convolutions_at_the_beginning(layers: int, blocks: int) -> None:
    with torch.device("meta"):
        shapes = shapes_of(SemanticPointRend(3, layers))
        plain = shapes_of(SemanticPointRend(3))
    stem = [shapes[f"backbone.backbone.conv1.{number}.weight"] for number in (0, 3, 6)]
    assert stem == [(64, 3, 3, 3), (64, 64, 3, 3), (128, 64, 3, 3)]
    last = f"backbone.backbone.layer3.{blocks - 1}.conv3.weight"
    assert shapes[last] == (1024, 256, 1, 1)
    assert last.replace(f".{blocks - 1}.", f".{blocks}.") not in shapes
    later = ("backbone.classifier", "backbone.backbone.layer4", "head")
    for key, shape in plain.items():
        if key.startswith(later):
            assert shapes[key] == shape


def test_they_have_stride_8_too() -> None:
    torch.manual_seed(0)
    network = SemanticPointRend(3, 53).eval().requires_grad_(False)
    coarse, fine = network.predict_coarse(torch.randn(1, 3, 32, 40))
    assert (coarse.shape, fine.shape) == ((1, 3, 4, 5), (1, 512, 4, 5))

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from napari_vos.networks.mivos import ScribbleToMaskNetwork, aggregate
from napari_vos.networks.padding import Padding
from tests.golden import (
    assert_near,
    fill,
    golden_arrays,
    golden_shapes,
    normalized,
    shapes_of,
)

NOT_DRAWN = 255


def empty_network() -> ScribbleToMaskNetwork:
    with torch.device("meta"):
        return ScribbleToMaskNetwork()


def test_keys_and_shapes_are_those_of_the_authors_checkpoint() -> None:
    assert list(shapes_of(empty_network()).items()) == list(golden_shapes("mivos_s2m").items())


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return golden_arrays("mivos_s2m")


@pytest.fixture(scope="module")
def network(golden: dict[str, Tensor]) -> ScribbleToMaskNetwork:
    network = empty_network()
    fill(network, "mivos_s2m")
    return network.requires_grad_(False)


def test_features(network: ScribbleToMaskNetwork, golden: dict[str, Tensor]) -> None:
    low_level, features = network.backbone(golden["x"])
    assert_near(low_level, golden["low_level"], 5e-3)
    assert_near(features, golden["backbone_out"], 5e-3)


def test_logits(network: ScribbleToMaskNetwork, golden: dict[str, Tensor]) -> None:
    image, *masks = golden["x"].split([3, 1, 1, 1], dim=1)
    assert_near(network(image, *masks), golden["logit"], 1e-3)


def test_two_objects_in_a_frame_that_needs_padding(
    network: ScribbleToMaskNetwork, golden: dict[str, Tensor]
) -> None:
    image = normalized(golden["ctrl_image_u8"])
    padding = Padding.to_multiple(16, image.shape[-2:])
    scribble = golden["ctrl_scribble"]
    object_ids = torch.tensor([1, 2])[:, None, None, None]
    masks = (
        golden["ctrl_prev_mask"] == object_ids,
        scribble == object_ids,
        (scribble != object_ids) & (scribble != NOT_DRAWN),
    )
    logits = network(
        padding.add(image.expand(2, -1, -1, -1)), *(padding.add(mask.float()) for mask in masks)
    )
    assert_near(logits.sigmoid(), golden["ctrl_prob"], 2e-4)
    aggregated = aggregate(logits.sigmoid(), hard=True)
    differing = aggregated.argmax(dim=0) != golden["ctrl_aggregated"].argmax(dim=0)
    assert differing.float().mean() < 1e-3


def test_hard_aggregation_of_two_objects(golden: dict[str, Tensor]) -> None:
    aggregated = aggregate(golden["ctrl_prob"], hard=True)
    assert_near(aggregated, golden["ctrl_aggregated"], 2e-4)

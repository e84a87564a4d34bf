from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor

from napari_vos.networks.yolact import (
    DESIGNS,
    Prediction,
    Yolact,
    finish,
    prepare_images,
    select_candidates,
    suppress_fast,
)
from napari_vos.networks.yolact.maskiou import MaskIouNetwork
from tests.golden import (
    assert_near,
    fill,
    golden_arrays,
    golden_file,
    golden_shapes,
    shapes_of,
)

FEATURES = 1e-3
ROUNDING = 2**-11
"""Relative, of numbers that are stored in half precision."""


def empty_network(design: str, n_classes: int) -> Yolact:
    with torch.device("meta"):
        return Yolact(DESIGNS[design], n_classes)


@pytest.mark.parametrize(
    ("manifest", "design", "n_classes"),
    [
        ("resnet50", "resnet50", 81),
        ("base", "base", 81),
        ("darknet53", "darknet53", 81),
        ("darknet53_nc6", "darknet53", 6),
        ("plus_base", "plus_base", 81),
        ("plus_resnet50", "plus_resnet50", 81),
        ("plus_resnet50_nc6", "plus_resnet50", 6),
    ],
)
def test_keys_and_shapes_are_those_of_the_authors_checkpoints(
    manifest: str, design: str, n_classes: int
) -> None:
    shapes = shapes_of(empty_network(design, n_classes))
    assert list(shapes.items()) == list(golden_shapes(f"yolact_{manifest}").items())


@pytest.fixture(scope="module")
def filled() -> Callable[[str], tuple[Yolact, dict[str, Tensor]]]:
    @cache
    def make(name: str) -> tuple[Yolact, dict[str, Tensor]]:
        golden = golden_arrays(f"yolact_{name}_forward")
        n_classes = golden["conf_logits"].shape[-1]
        network = empty_network(name, n_classes)
        weights = fill(network, "yolact_" + name.removeprefix("plus_"))
        total = sum(
            float(w.double().abs().sum()) for w in weights.values() if w.is_floating_point()
        )
        check = json.loads(golden_file("weights_check.json").read_text())
        manifest = f"yolact_{name}" + ("" if n_classes == 81 else f"_nc{n_classes}")
        assert total == pytest.approx(check[manifest]["sum_abs"], rel=1e-9)
        return network.requires_grad_(False), golden

    return make


def image_of(golden: dict[str, Tensor], network: Yolact) -> Tensor:
    if "x" in golden:
        return golden["x"]
    image = golden["image_rgb_u8"].float().movedim(-1, 0)[None]
    return prepare_images(image, network.design, 256)


def near(actual: Tensor, golden: dict[str, Tensor], name: str) -> None:
    expected = golden[name]
    rounding = ROUNDING if expected.dtype == torch.float16 else 0
    torch.testing.assert_close(actual, expected.float(), rtol=rounding, atol=FEATURES)


@pytest.mark.parametrize("name", ["resnet50", "darknet53", "plus_resnet50"])
def test_what_is_seen_and_predicted(
    filled: Callable[[str], tuple[Yolact, dict[str, Tensor]]], name: str
) -> None:
    network, golden = filled(name)
    image = image_of(golden, network)
    trunk = network.backbone(image)
    levels = network.fpn(trunk)
    for features, first in ((trunk, "C3"), (levels, "P3")):
        for i, feature in enumerate(features, start=int(first[1])):
            if f"{first[0]}{i}" in golden:
                near(feature, golden, f"{first[0]}{i}")
    prediction: Prediction = network(image)
    near(prediction.boxes, golden, "loc")
    near(prediction.class_logits, golden, "conf_logits")
    near(prediction.coefficients, golden, "mask_coef")
    near(prediction.prototypes, golden, "proto")
    assert_near(prediction.priors, golden["priors"], 1e-6)
    if "segm" in golden:
        near(prediction.semantic_logits, golden, "segm")
    check_instances(network, prediction, golden)


def check_instances(network: Yolact, prediction: Prediction, golden: dict[str, Tensor]) -> None:
    detections = suppress_fast(select_candidates(prediction))
    assert_near(detections.scores, golden["det_score"], 2e-4)
    assert_near(detections.boxes, golden["det_box"], 2e-4)
    assert_near(detections.coefficients, golden["det_mask"], 2e-3)
    assert detections.classes.tolist() == golden["det_class"].tolist()
    n_instances, height, width = golden["post_mask"].shape
    # The threshold is the score of the first one that is left out: here it lies between two.
    score = float(detections.scores[n_instances - 1 : n_instances + 1].mean())
    instances = finish(
        detections,
        prediction.prototypes[0],
        (height, width),
        score=score,
        score_masks=network.maskiou_net,
    )
    assert_near(instances.scores, golden["post_score"], 2e-4)
    if "post_score_maskiou" in golden:
        assert_near(instances.mask_scores, golden["post_score_maskiou"], 2e-4)
    assert instances.classes.tolist() == golden["post_class"].tolist()
    # A corner is truncated to a pixel, so that one next to an integer may fall on either side.
    assert int((instances.boxes - golden["post_box"]).abs().max()) <= 1
    assert (instances.masks != golden["post_mask"].bool()).float().mean() <= 1e-3


@torch.no_grad()
def test_masks_are_scored() -> None:
    golden = golden_arrays("yolact_maskiou")
    network = MaskIouNetwork(80)
    assert list(shapes_of(network).items()) == list(golden_shapes("yolact_maskiou").items())
    fill(network, "yolact_maskiou")
    assert_near(network(golden["x"]), golden["out"], 1e-4)


def test_a_mask_too_small_to_be_scored_is_refused() -> None:
    network = MaskIouNetwork(2)
    assert network(torch.zeros(1, 1, 63, 63)).shape == (1, 2)
    assert network(torch.zeros(0, 1, 63, 63)).shape == (0, 2)
    with pytest.raises(ValueError, match="at least 63"):
        network(torch.zeros(1, 1, 62, 63))


def test_an_image_that_is_not_square_is_refused() -> None:
    with pytest.raises(ValueError, match="square"):
        empty_network("resnet50", 2)(torch.empty(1, 3, 64, 96, device="meta"))

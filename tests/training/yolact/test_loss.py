from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from napari_vos.networks.yolact import Prediction
from napari_vos.networks.yolact.maskiou import MaskIouNetwork
from napari_vos.training.yolact import (
    MaskComparison,
    Truth,
    YolactLoss,
    area_loss,
    disjoint_loss,
)
from napari_vos.training.yolact.masks import (
    MaskTerms,
    diversity_loss,
    mask_terms,
    semantic_loss,
    true_ious,
)
from tests.golden import assert_near, fill, golden_arrays


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return golden_arrays("yolact_loss")


@pytest.fixture(scope="module")
def prediction(golden: dict[str, Tensor]) -> Prediction:
    def leaf(name: str) -> Tensor:
        return golden[f"pred_{name}"].clone().requires_grad_()

    return Prediction(
        leaf("loc"), leaf("conf"), leaf("mask"), golden["priors"], leaf("proto"), leaf("segm")
    )


@pytest.fixture(scope="module")
def truths(golden: dict[str, Tensor]) -> list[Truth]:
    truths = []
    for i, n_crowds in enumerate(golden["num_crowds"].tolist()):
        targets, masks = golden[f"targets{i}"], golden[f"masks{i}"]
        n_instances = len(targets) - n_crowds
        told_apart = targets[:n_instances]
        truths.append(
            Truth(
                told_apart[:, :4],
                told_apart[:, 4].long(),
                masks[:n_instances],
                targets[n_instances:, :4],
            )
        )
    return truths


def assert_loss(actual: Tensor, golden: dict[str, Tensor], name: str) -> None:
    assert actual.item() == pytest.approx(float(golden[name]), rel=1e-4), name


def test_terms_and_gradients(
    golden: dict[str, Tensor], prediction: Prediction, truths: list[Truth]
) -> None:
    losses = YolactLoss()(prediction, truths)
    assert_loss(losses.boxes, golden, "loss_B")
    assert_loss(losses.masks, golden, "loss_M")
    assert_loss(losses.classes, golden, "loss_C")
    assert_loss(losses.semantics, golden, "loss_S")
    assert_loss(losses.total, golden, "loss_total")
    assert losses.mask_ious.item() == losses.diversity.item() == 0
    leaves = prediction._replace(priors=torch.zeros(0))[:6]
    names = ("loc", "conf", "mask", "", "proto", "segm")
    for leaf, name in zip(leaves, names, strict=True):
        if not name:
            continue
        (gradient,) = torch.autograd.grad(losses.total, leaf, retain_graph=True)
        assert_near(gradient, golden[f"grad_{name}"], 1e-5)


@torch.no_grad()
def test_terms_of_the_models_that_judge_masks(
    golden: dict[str, Tensor], prediction: Prediction, truths: list[Truth]
) -> None:
    network = MaskIouNetwork(80)
    fill(network, "yolact_maskiou")
    losses = YolactLoss()(prediction, truths, score_masks=network)
    assert_loss(losses.boxes, golden, "plus_loss_B")
    assert_loss(losses.masks, golden, "plus_loss_M")
    assert_loss(losses.classes, golden, "plus_loss_C")
    assert_loss(losses.mask_ious, golden, "plus_loss_I")
    assert_loss(losses.semantics, golden, "plus_loss_S")
    assert_loss(losses.total, golden, "plus_loss_total")


def test_images_without_instances_can_be_learned_from(
    prediction: Prediction, truths: list[Truth]
) -> None:
    empty = [
        replace(truth, boxes=truth.boxes[:0], classes=truth.classes[:0], masks=truth.masks[:0])
        for truth in truths
    ]
    losses = YolactLoss(diversity_weight=1)(prediction, empty)
    assert losses.semantics.item() > 0
    assert losses.total.item() == pytest.approx(losses.semantics.item())
    torch.autograd.grad(losses.total, [prediction.boxes, prediction.semantic_logits])


def square_masks() -> Truth:
    """Return two instances on 8 x 8 prototype pixels."""
    boxes = torch.tensor([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])
    masks = torch.zeros(2, 8, 8)
    masks[0, :4, :4] = 1
    masks[1, 4:, 4:] = 1
    return Truth(boxes, torch.tensor([0, 2]), masks, torch.zeros(0, 4))


FIRST = torch.tensor([0])


def test_large_and_small_instances_count_the_same() -> None:
    # Prototypes of 0 make masks of 1/2 inside a crop of 5 x 5 pixels, and 0 elsewhere.
    prototypes, coefficients = torch.zeros(8, 8, 32), torch.ones(1, 32)
    terms = mask_terms(prototypes, coefficients, square_masks(), FIRST)
    assert float(terms.fit) == pytest.approx(25 * 0.693147 / 16)
    assert terms.classes.tolist() == [0]


def test_masks_beyond_the_cap_are_drawn_and_count_the_more() -> None:
    instances = torch.zeros(10, dtype=torch.long)
    arguments = (torch.zeros(8, 8, 32), torch.ones(10, 32), square_masks(), instances)
    all_masks = mask_terms(*arguments)
    drawn = mask_terms(*arguments, comparison=MaskComparison(cap=4))
    assert (len(all_masks.masks), len(drawn.masks)) == (10, 4)
    assert float(drawn.fit) == pytest.approx(float(all_masks.fit))


def test_iou_of_masks() -> None:
    prototypes = torch.zeros(8, 8, 32)
    prototypes[:2, :, 0] = 10
    prototypes[2:, :, 0] = -10
    coefficients = torch.zeros(1, 32)
    coefficients[0, 0] = 1
    terms = mask_terms(prototypes, coefficients, square_masks(), FIRST)
    # Two rows of five pixels were found; four of each belong to the truth's 4 x 4.
    assert float(true_ious(terms)) == pytest.approx(8 / 18)


def test_classes_are_where_their_instances_are() -> None:
    truth = square_masks()
    masks, classes = truth.masks, truth.classes
    logits = torch.full((3, 8, 8), -20.0)
    logits[0, :4, :4] = 20
    logits[2, 4:, 4:] = 20
    assert float(semantic_loss(logits, masks, classes)) == pytest.approx(0, abs=1e-6)
    assert float(semantic_loss(-logits, masks, classes)) == pytest.approx(3 * 20, rel=1e-5)


def test_coefficients_are_alike_within_an_instance_and_differ_between() -> None:
    one, other = torch.eye(2, 32)
    # Of the four pairs of two, those of a prior with itself cost nothing.
    for second, instances, expected in (
        (one, [0, 0], 0.0),
        (one, [0, 1], 1.0),
        (other, [0, 0], 0.5),
        (other, [0, 1], 0.5),
        (-one, [0, 1], 0.0),
    ):
        loss = diversity_loss(torch.stack([one, second]), torch.tensor(instances))
        assert float(loss) == pytest.approx(expected)


def test_gradient_of_the_diversity() -> None:
    random = torch.Generator().manual_seed(0)
    coefficients = torch.randn((4, 3), generator=random, dtype=torch.float64, requires_grad=True)
    instances = torch.tensor([0, 1, 1, 2])
    assert gradcheck(lambda x: diversity_loss(x, instances), coefficients)


def test_where_nothing_is_known_no_class_is_wanted_or_refused() -> None:
    logits = torch.full((1, 2, 2), 3.0, requires_grad=True)
    masks = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    unknown = torch.tensor([[False, True], [False, True]])
    loss = semantic_loss(logits, masks, torch.tensor([0]), unknown)
    expected = (math.log1p(math.exp(-3)) + math.log1p(math.exp(3))) / 4
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    assert (logits.grad != 0).tolist() == [[[True, False], [True, False]]]


LN2 = math.log(2)


@pytest.mark.parametrize(
    ("options", "fit"),
    [
        # Masks are 1/2 on the 5 x 5 pixels of the cropped true box, which is a quarter large.
        ({}, 25 * LN2 / 16),
        ({"per_box": False}, 25 * LN2 / 64),
        ({"cut": "nothing"}, 64 * LN2 / 16),
        # Cropped to 8 x 5 pixels, a row of which lies beyond the truth's 4 x 4.
        ({"cut": "predicted boxes"}, 40 * LN2 / 16),
        # The activation gives 0: half a squared distance of 1 on 16 pixels.
        ({"activation": torch.tanh}, 16 * 0.5 / 16),
    ],
)
def test_ways_to_compare_masks(options: dict[str, object], fit: float) -> None:
    terms = mask_terms(
        torch.zeros(8, 8, 32),
        torch.ones(1, 32),
        square_masks(),
        FIRST,
        comparison=MaskComparison(**options),
        predicted_boxes=torch.tensor([[0, 0, 1, 0.5]]),
    )
    assert float(terms.fit) == pytest.approx(fit)


@pytest.mark.parametrize(
    ("cut", "truths"),
    [
        # The instance is the upper left quarter of the image.
        ("true boxes", [[1, 1], [1, 1]]),
        ("predicted boxes", [[1, 0], [1, 0]]),
    ],
)
def test_direct_masks_are_compared_with_what_their_boxes_show(
    cut: Literal["true boxes", "predicted boxes"], truths: list[list[int]]
) -> None:
    said = torch.tensor([[0.9, 0.5, 0.5, 0.2]])
    terms = mask_terms(
        torch.zeros(0, 0, 32),
        said,
        square_masks(),
        FIRST,
        comparison=MaskComparison(cut=cut),
        predicted_boxes=torch.tensor([[0, 0, 1, 0.5]]),
    )
    assert terms.truths.int().tolist() == [truths]
    right = torch.where(terms.truths.reshape(1, 4), said, 1 - said)
    assert float(terms.fit) == pytest.approx(-right.log().mean().item())


def test_gradient_of_direct_masks() -> None:
    random = torch.Generator().manual_seed(0)
    said = torch.rand((2, 9), generator=random, dtype=torch.float64, requires_grad=True)

    def fit(coefficients: Tensor) -> Tensor:
        return mask_terms(
            torch.zeros(0, 0, 32), coefficients, square_masks(), torch.tensor([0, 1])
        ).fit

    assert gradcheck(fit, said)


def test_soft_truth_keeps_shares_of_pixels() -> None:
    masks = torch.zeros(1, 2, 2)
    masks[0, 0] = torch.tensor([1.0, 0.2])
    truth = Truth(torch.tensor([[0.0, 0, 1, 1]]), FIRST, masks, torch.zeros(0, 4))
    prototypes, coefficients = torch.zeros(2, 2, 32), torch.zeros(1, 32)
    prototypes[0, 1, 0] = coefficients[0, 0] = 1
    entropies = []
    for softens in (False, True):
        comparison = MaskComparison(softens_truth=softens)
        terms = mask_terms(prototypes, coefficients, truth, FIRST, comparison=comparison)
        entropies.append(4 * float(terms.fit))
        assert terms.truths.tolist() == [[[True, False], [False, False]]]
    share = 1 / (1 + math.exp(-1))
    hard = 3 * LN2 - math.log(1 - share)
    assert entropies == pytest.approx([hard, hard - 0.2 * (math.log(share) - math.log(1 - share))])


@pytest.mark.parametrize("softens", [False, True])
def test_instances_that_are_too_small_for_the_prototypes_can_be_left_out(softens: bool) -> None:
    truth = square_masks()
    masks = torch.zeros(3, 16, 16)
    masks[:2] = truth.masks.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
    masks[2, 12, 3] = 1  # a quarter of a prototype pixel
    boxes = torch.cat([truth.boxes, torch.tensor([[3, 12, 4, 13]]) / 16])
    speck = Truth(boxes, torch.tensor([0, 2, 1]), masks, truth.crowds)
    coefficients = torch.ones(3, 32, requires_grad=True)

    def terms(instances: list[int], drops: bool) -> MaskTerms:
        return mask_terms(
            torch.ones(8, 8, 32),
            coefficients[: len(instances)],
            speck,
            torch.tensor(instances),
            comparison=MaskComparison(drops_empty=drops, softens_truth=softens),
            predicted_boxes=boxes[instances],
        )

    all_three, left = terms([0, 2, 1], drops=False), terms([0, 2, 1], drops=True)
    assert len(all_three.masks) == 3
    if softens:  # a share of a pixel is left of it
        assert left.fit.item() == all_three.fit.item()
        return
    assert left.classes.tolist() == [0, 2]
    assert left.fit.item() == pytest.approx(terms([0, 1], drops=False).fit.item())
    (gradient,) = torch.autograd.grad(terms([2], drops=True).fit, coefficients)
    assert not gradient.any()


@pytest.mark.parametrize("options", [{"activation": torch.tanh}, {"cut": "nothing"}])
def test_gradient_of_other_comparisons(options: dict[str, object]) -> None:
    random = torch.Generator().manual_seed(0)
    leaves = [
        torch.randn(shape, generator=random, dtype=torch.float64, requires_grad=True)
        for shape in ((8, 8, 3), (2, 3))
    ]
    comparison = MaskComparison(**options)
    instances = torch.tensor([0, 1])

    def fit(prototypes: Tensor, coefficients: Tensor) -> Tensor:
        return mask_terms(
            prototypes, coefficients, square_masks(), instances, comparison=comparison
        ).fit

    assert gradcheck(fit, leaves)


def test_losses_of_prototypes() -> None:
    prototypes = torch.zeros(1, 2, 2, 4)
    prototypes[..., 0] = 3
    assert float(area_loss(prototypes)) == pytest.approx(0.1 * 0.75 * 4900 / 400)
    assert float(disjoint_loss(prototypes)) == pytest.approx(math.log(1 + 3 * math.exp(-3)))
    random = torch.Generator().manual_seed(0)
    leaf = torch.rand((1, 2, 2, 4), generator=random, dtype=torch.float64, requires_grad=True)
    assert gradcheck(area_loss, leaf)
    assert gradcheck(disjoint_loss, leaf)


def test_options_of_the_whole_loss(prediction: Prediction, truths: list[Truth]) -> None:
    logits = torch.zeros(len(truths), prediction.class_logits.shape[-1] - 1)
    random = torch.Generator().manual_seed(0)
    codes = torch.randn((*prediction.boxes.shape[:2], 5), generator=random)
    more = prediction._replace(existence_logits=logits, instance_codes=codes)
    losses = YolactLoss(diversity_weight=1, prototype_loss=area_loss)(more, truths)
    assert losses.existence.item() == pytest.approx(logits.shape[1] * LN2)
    assert losses.prototypes.item() == pytest.approx(area_loss(prediction.prototypes).item())
    plain = YolactLoss(diversity_weight=1)(prediction, truths)
    assert losses.diversity.item() != pytest.approx(plain.diversity.item())
    assert losses.masks.item() == pytest.approx(plain.masks.item())
    right = torch.full_like(logits, -50)
    for row, truth in zip(right, truths, strict=True):
        row[truth.classes] = 50
    assert YolactLoss()(more._replace(existence_logits=right), truths).existence.item() < 1e-6


@torch.no_grad()
def test_judged_masks_beyond_the_cap_are_drawn_and_count_the_more(
    prediction: Prediction, truths: list[Truth]
) -> None:
    seen = []

    def network(masks: Tensor) -> Tensor:
        seen.append(len(masks))
        return torch.full((len(masks), 80), 2.0)

    generator = torch.Generator().manual_seed(0)
    all_masks = YolactLoss()(prediction, truths, score_masks=network)
    n_all, seen = seen, []
    drawn = YolactLoss(judged_cap=2, generator=generator)(prediction, truths, score_masks=network)
    assert max(n_all) > 2
    assert seen == [min(count, 2) for count in n_all]
    ratio = drawn.mask_ious.item() / all_masks.mask_ious.item()
    assert ratio == pytest.approx(1, abs=0.4)


def test_classes_that_the_network_does_not_know_are_refused(
    prediction: Prediction, truths: list[Truth]
) -> None:
    strange = [replace(truth, classes=truth.classes + 80) for truth in truths]
    with pytest.raises(ValueError, match="the network knows the classes 0 to 79"):
        YolactLoss()(prediction, strange)

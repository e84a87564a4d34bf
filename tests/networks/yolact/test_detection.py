"""From candidates to instances, step by step against the official numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from napari_vos.networks.yolact.boxes import decode, encode, intersection_over_union
from napari_vos.networks.yolact.detection import finish, small_masks
from napari_vos.networks.yolact.masks import crop, cut_out
from napari_vos.networks.yolact.suppression import (
    Candidates,
    Detections,
    suppress_across_classes,
    suppress_fast,
    suppress_one_by_one,
)
from tests.golden import assert_near, golden_arrays

SIZE = 138


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return golden_arrays("yolact_detect")


@pytest.fixture(scope="module")
def candidates(golden: dict[str, Tensor]) -> Candidates:
    scores = golden["conf"][0, :, 1:]
    likely = scores.amax(dim=1) > 0.05
    boxes = decode(golden["loc"][0], golden["priors"])
    return Candidates(boxes[likely], scores[likely], golden["mask_coef"][0, likely])


def official(golden: dict[str, Tensor], name: str) -> Detections:
    return Detections(*(golden[f"{name}_{part}"] for part in ("box", "score", "class", "mask")))


def assert_same(actual: Detections, expected: Detections) -> None:
    """Equal but for the order of equal scores."""
    assert actual.scores.shape == expected.scores.shape
    assert (actual.scores.diff() <= 0).all()
    for ours, theirs in zip(in_order(actual), in_order(expected), strict=True):
        assert_near(ours, theirs, 1e-5)


def in_order(detections: Detections) -> list[Tensor]:
    keys = [
        (-round(float(score), 6), int(class_), *box.tolist())
        for box, score, class_, _ in zip(*detections, strict=True)
    ]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return [values[order] for values in detections]


def test_boxes_are_decoded_and_encoded(golden: dict[str, Tensor]) -> None:
    boxes = decode(golden["loc"][0], golden["priors"])
    assert_near(boxes, golden["decoded"], 1e-6)
    codes = encode(golden["decoded"], golden["priors"])
    assert_near(codes, golden["encode_roundtrip"], 1e-4)
    assert_near(encode(boxes, golden["priors"]), golden["loc"][0], 1e-4)


def test_overlap_of_boxes() -> None:
    boxes = torch.tensor([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6]]).float()
    expected = torch.tensor([[1, 1 / 7, 0], [1 / 7, 1, 0], [0, 0, 1]])
    assert_near(intersection_over_union(boxes, boxes), expected, 1e-6)
    assert float(intersection_over_union(boxes[:1], boxes[1:2], pixel=1)) == pytest.approx(4 / 14)


def test_fast_suppression(golden: dict[str, Tensor], candidates: Candidates) -> None:
    assert_same(suppress_fast(candidates), official(golden, "fast"))


def test_suppression_across_classes(golden: dict[str, Tensor], candidates: Candidates) -> None:
    assert_same(suppress_across_classes(candidates), official(golden, "cc"))


def test_suppression_one_by_one(golden: dict[str, Tensor], candidates: Candidates) -> None:
    assert_same(suppress_one_by_one(candidates, size=SIZE), official(golden, "trad"))


def test_what_is_suppressed_suppresses_too_unless_it_is_done_one_by_one() -> None:
    # Each overlaps with the next by 2/3 and with the one after that by less than a half.
    boxes = torch.tensor([[0, 0, 1, 0.5], [0.2, 0, 1.2, 0.5], [0.4, 0, 1.4, 0.5]]) / 2
    candidates = Candidates(boxes, torch.tensor([[0.9], [0.8], [0.7]]), torch.zeros(3, 32))
    assert suppress_fast(candidates).scores.tolist() == pytest.approx([0.9])
    assert suppress_across_classes(candidates).scores.tolist() == pytest.approx([0.9])
    slow = suppress_one_by_one(candidates, size=1000)
    assert slow.scores.tolist() == pytest.approx([0.9, 0.7])


@pytest.mark.parametrize(
    "suppress",
    [
        suppress_fast,
        suppress_across_classes,
        lambda candidates: suppress_one_by_one(candidates, size=SIZE),
    ],
)
def test_nothing_is_found_where_nothing_is(suppress) -> None:
    nothing = Candidates(torch.zeros(0, 4), torch.zeros(0, 3), torch.zeros(0, 32))
    detections = suppress(nothing)
    instances = finish(detections, torch.zeros(8, 8, 32), (20, 30))
    assert instances.masks.shape == (0, 20, 30)
    assert instances.boxes.shape == (0, 4)
    assert instances.classes.dtype == torch.int64


def test_masks_are_cropped(golden: dict[str, Tensor]) -> None:
    masks = crop(golden["crop_in"].movedim(-1, 0), golden["crop_boxes"])
    assert_near(masks.movedim(0, -1), golden["crop_out"], 1e-6)


@pytest.mark.parametrize("cropped", [True, False])
def test_masks_at_full_size(golden: dict[str, Tensor], cropped: bool) -> None:
    instances = finish(
        official(golden, "fast"),
        golden["proto"][0],
        (97, 150),
        score=float(golden["post_threshold"]),
        cropped=cropped,
    )
    assert_near(instances.scores, golden["post_score"], 1e-6)
    assert_near(instances.mask_scores, golden["post_score"], 1e-6)
    assert instances.classes.tolist() == golden["post_class"].tolist()
    assert instances.boxes.tolist() == golden["post_box"].tolist()
    expected = golden["post_mask" if cropped else "post_mask_nocrop"].bool()
    assert (instances.masks != expected).float().mean() <= 1e-3


def test_direct_masks_fill_their_boxes() -> None:
    found = Detections(
        torch.tensor([[0.25, 0.5, 0.75, 1.0], [-0.5, 0.0, 0.5, 0.25]]),
        torch.tensor([0.9, 0.2]),
        torch.tensor([0, 1]),
        torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1]]),
    )
    instances = finish(found, torch.zeros(0, 0, 32), (4, 8))
    expected = torch.zeros(2, 4, 8, dtype=torch.bool)
    expected[0, 2:, 2:4] = True  # the left half of its box
    expected[1, 0, :4] = True  # the right half: the left one lies beyond the image
    assert torch.equal(instances.masks, expected)
    assert torch.equal(instances.mask_scores, found.scores)
    assert len(finish(found, torch.zeros(0, 0, 32), (4, 8), score=0.5).masks) == 1
    assert finish(found, torch.zeros(0, 0, 32), (4, 8), score=1).masks.shape == (0, 4, 8)


def test_masks_of_other_activations() -> None:
    prototypes = torch.full((4, 4, 32), 0.4 / 32)  # sums are 0.4
    found = Detections(
        torch.tensor([[0.0, 0, 1, 1]]), torch.ones(1), torch.zeros(1).long(), torch.ones(1, 32)
    )
    for activation, is_inside in ((torch.sigmoid, True), (torch.tanh, False), (torch.relu, False)):
        masks, _ = small_masks(found, prototypes, activation=activation)
        torch.testing.assert_close(masks, activation(torch.full((1, 4, 4), 0.4)))
        instances = finish(found, prototypes, (8, 8), activation=activation)
        assert (instances.masks == is_inside).all()


def test_what_boxes_show_of_masks() -> None:
    mask = torch.zeros(1, 8, 8)
    mask[0, :4, 2:5] = 1
    parts = cut_out(mask.expand(3, 8, 8), boxes_of([0, 0, 8, 8], [2, 0, 4, 4], [7, 7, 7, 20]), 2)
    assert parts.tolist() == [[[0.5, 0.25], [0, 0]], [[1, 1], [1, 1]], [[0, 0], [0, 0]]]
    assert cut_out(mask[:0], boxes_of(), 2).shape == (0, 2, 2)


def boxes_of(*pixels: list[float]) -> Tensor:
    return torch.tensor(pixels).reshape(-1, 4) / 8

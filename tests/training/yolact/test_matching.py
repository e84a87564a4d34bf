from __future__ import annotations

import pytest
import torch
from torch import Tensor

from napari_vos.networks.yolact.boxes import to_centred
from napari_vos.training.yolact import Truth, match
from tests.golden import assert_near, golden_arrays


def truth_of(boxes: Tensor, classes: Tensor, crowds: Tensor) -> Truth:
    return Truth(boxes, classes, torch.zeros(len(boxes), 4, 4), crowds)


@pytest.mark.parametrize("crowded", [False, True])
def test_priors_are_matched(crowded: bool) -> None:
    golden = golden_arrays("yolact_match")
    crowds = golden["crowds"] if crowded else torch.zeros(0, 4)
    matched = match(truth_of(golden["truths"], golden["labels"], crowds), golden["priors"])
    suffix = "_crowd" if crowded else ""
    assert (matched.classes == golden[f"conf_t{suffix}"][0]).all()
    assert (matched.instances == golden[f"idx_t{suffix}"][0]).all()
    assert_near(matched.codes, golden[f"loc_t{suffix}"][0], 1e-4)


def test_without_instances_all_is_background_but_for_crowds() -> None:
    priors = to_centred(torch.tensor([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]]))
    crowds = torch.tensor([[0.4, 0.4, 1, 1]])
    nothing = torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)
    assert match(truth_of(*nothing, torch.zeros(0, 4)), priors).classes.tolist() == [0, 0]
    assert match(truth_of(*nothing, crowds), priors).classes.tolist() == [0, -1]


def test_two_instances_that_want_the_same_prior_get_one_each() -> None:
    priors = to_centred(torch.tensor([[0, 0, 0.5, 0.5], [0.6, 0.6, 1, 1]]))
    boxes = torch.tensor([[0, 0, 0.4, 0.4], [0, 0, 0.5, 0.5]])
    matched = match(truth_of(boxes, torch.tensor([3, 5]), torch.zeros(0, 4)), priors)
    assert matched.classes.tolist() == [6, 4]
    assert matched.instances.tolist() == [1, 0]


def test_more_instances_than_priors() -> None:
    priors = to_centred(torch.tensor([[0, 0, 0.5, 0.5]]))
    boxes = torch.tensor([[0, 0, 0.4, 0.4], [0, 0, 0.5, 0.5]])
    matched = match(truth_of(boxes, torch.tensor([3, 5]), torch.zeros(0, 4)), priors)
    assert matched.classes.tolist() == [6]


def test_a_prior_where_nothing_is_known_is_not_judged() -> None:
    truth = Truth(
        torch.tensor([[0.0, 0.0, 0.25, 0.5]]),
        torch.tensor([0]),
        torch.ones(1, 40, 40),
        torch.zeros(0, 4),
        unknown=torch.arange(40).expand(40, 40) >= 20,
    )
    priors = torch.tensor(
        [
            [0.125, 0.25, 0.25, 0.5],  # the instance
            [0.8, 0.5, 0.2, 0.2],  # where nothing is known
            [0.55, 0.5, 0.2, 0.2],  # three quarters of it there
            [0.5, 0.5, 0.2, 0.2],  # half of it there
            [1.1, 0.5, 0.3, 0.2],  # and beyond the image
            [0.2, 0.8, 0.2, 0.2],  # where nothing is
        ]
    )
    assert match(truth, priors).classes.tolist() == [1, -1, -1, 0, -1, 0]

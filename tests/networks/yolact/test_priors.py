from __future__ import annotations

import pytest
import torch

from napari_vos.networks.yolact import DESIGNS, Anchors, make_priors
from tests.golden import assert_near, golden_arrays

CELLS = [(side, side) for side in (69, 35, 18, 9, 5)]
CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["base", "plus_resnet50"])
def test_priors_of_the_published_models(name: str) -> None:
    priors = make_priors(DESIGNS[name].anchors, CELLS, 550, CPU)
    assert_near(priors, golden_arrays("yolact_priors_550")[f"yolact_{name}"], 1e-6)


def test_priors_lie_in_the_middle_of_their_cells() -> None:
    priors = make_priors(Anchors(((8,),), (1, 4)), [(2, 1)], 16, CPU)
    expected = [
        [0.5, 0.25, 0.5, 0.5],
        [0.5, 0.25, 1, 0.25],
        [0.5, 0.75, 0.5, 0.5],
        [0.5, 0.75, 1, 0.25],
    ]
    assert_near(priors, torch.tensor(expected), 1e-7)

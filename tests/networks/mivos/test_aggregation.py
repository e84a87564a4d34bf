from __future__ import annotations

import pytest
import torch

from napari_vos.networks.mivos import aggregate
from tests.golden import assert_near, golden_arrays


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("background", ["wbg", "sbg"])
def test_objects_compete(background: str, hard: bool) -> None:
    golden = golden_arrays("mivos_aggregate")
    aggregated = aggregate(golden["prob"], static_background=background == "sbg", hard=hard)
    assert_near(aggregated, golden[f"{background}_bg1_hard{hard:d}"], 2e-4)
    assert_near(aggregated[1:], golden[f"{background}_bg0_hard{hard:d}"], 2e-4)


def test_certain_objects_in_half_precision_give_a_distribution() -> None:
    certain = torch.tensor([1, 0, 1], dtype=torch.float16).reshape(3, 1, 1, 1)
    aggregated = aggregate(certain)
    assert_near(aggregated.flatten(), torch.tensor([0, 0.5, 0, 0.5]), 1e-6)

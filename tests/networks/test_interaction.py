from __future__ import annotations

import pytest
import torch

from napari_vos.networks.compact import IMAGE_CHANNELS
from napari_vos.networks.interaction import MAPS, InteractionNetwork, thicken


def test_the_weights_take_less_than_two_megabytes() -> None:
    state = InteractionNetwork().state_dict()
    assert 2 * sum(value.numel() for value in state.values()) < 2e6


def test_every_plane_that_is_seen_counts() -> None:
    torch.manual_seed(0)
    network = InteractionNetwork().eval()
    seen = [torch.randn(2, IMAGE_CHANNELS, 32, 48), *torch.rand(MAPS, 2, 1, 32, 48)]
    logits = network(*seen)
    assert logits.shape == (2, 1, 32, 48)
    for index in range(len(seen)):
        without = [torch.zeros_like(part) if i == index else part for i, part in enumerate(seen)]
        assert not torch.allclose(network(*without), logits)


@pytest.mark.parametrize("strength", [0.1, 1.0])
def test_thin_and_faint_strokes_are_thickened(strength: float) -> None:
    strokes = torch.zeros(1, 1, 8, 8)
    strokes[0, 0, 4, 2] = strength
    thick = thicken(strokes)
    assert set(thick.unique().tolist()) == {0.0, 1.0}
    assert thick.sum() == 9
    assert thick[0, 0, 3:6, 1:4].all()

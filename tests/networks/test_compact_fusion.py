from __future__ import annotations

import pytest
import torch

from napari_vos.networks.compact_fusion import CompactFusionNetwork, fuse_linearly


@pytest.fixture(scope="module")
def network() -> CompactFusionNetwork:
    torch.manual_seed(0)
    return CompactFusionNetwork().eval()


def inputs(old: float, new: float, distance: tuple[float, float]) -> list[torch.Tensor]:
    plane = torch.ones(1, 1, 32, 32)
    image = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(1))
    attention = torch.zeros(1, 2, 32, 32)
    return [image, old * plane, new * plane, attention, torch.tensor([distance])]


def test_the_nearer_mask_weighs_more() -> None:
    old, new = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    assert fuse_linearly(old, new, torch.tensor([[0.75, 0.25]])).eq(0.75).all()


def test_without_an_objection_the_masks_are_fused_linearly(network: CompactFusionNetwork) -> None:
    silent = CompactFusionNetwork().eval()
    torch.nn.init.zeros_(silent.decode_full[1].weight)
    torch.nn.init.zeros_(silent.decode_full[1].bias)
    with torch.inference_mode():
        logits = silent(*inputs(0.2, 0.8, (0.5, 0.5)))
    torch.testing.assert_close(logits.sigmoid(), torch.full((1, 1, 32, 32), 0.5))


def test_everything_it_is_told_counts(network: CompactFusionNetwork) -> None:
    seen = inputs(0.2, 0.8, (0.5, 0.5))
    with torch.inference_mode():
        before = network(*seen)
        for index in range(5):
            changed = list(seen)
            changed[index] = changed[index] + 0.1
            assert not torch.allclose(network(*changed), before, atol=1e-5), index


def test_certain_masks_can_be_overruled(network: CompactFusionNetwork) -> None:
    with torch.inference_mode():
        assert network(*inputs(0.0, 0.0, (0.5, 0.5))).isfinite().all()

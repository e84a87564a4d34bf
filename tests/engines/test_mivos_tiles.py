from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from napari_vos.engines.mivos_bank import SpaceTimeBank
from napari_vos.engines.mivos_frozen import Frozen
from napari_vos.engines.mivos_model import Correction, MivosModel
from napari_vos.engines.mivos_tiles import HALO, computed_share, in_tiles, largest_part, tile_sides
from napari_vos.networks.mivos import FusionNetwork, PropagationNetwork
from tests.golden import GAINS, golden_weights, shapes_of


def test_what_looks_no_further_than_the_halo_is_the_same_in_tiles() -> None:
    image = torch.rand(1, 2, 176, 400)
    coarse = functional.avg_pool2d(image, 16)

    def function(image: torch.Tensor, coarse: torch.Tensor) -> list[torch.Tensor]:
        wide = functional.avg_pool2d(coarse, 2 * (HALO // 16) + 1, 1, HALO // 16)
        return [
            wide,
            functional.max_pool2d(image, 4),
            functional.interpolate(coarse, scale_factor=16),
        ]

    expected = function(image, coarse)
    found = in_tiles(function, [image, coarse], side=64, size=(176, 400))
    for part, other in zip(found, expected, strict=True):
        torch.testing.assert_close(part, other)


def test_sides_are_whole_cells_within_the_frame() -> None:
    assert tile_sides(None, (480, 864)) == (480, 864)
    assert tile_sides(500, (480, 864)) == (480, 512)
    assert tile_sides(64, (16, 864)) == (16, 64)


def test_what_tiles_cost_and_save() -> None:
    assert largest_part(None, (2048, 2048)) == 2048**2
    assert largest_part(256, (2048, 2048)) == (256 + 2 * HALO) ** 2
    assert largest_part(1024, (512, 512)) == 512**2
    assert computed_share(None, (512, 512)) == 1
    assert computed_share(512, (1024, 512)) == pytest.approx(2 * (512 + HALO) / 1024)


@pytest.mark.slow
@torch.inference_mode()
def test_every_step_gives_the_numbers_of_the_whole_frame() -> None:
    networks = PropagationNetwork(), FusionNetwork()
    for network, gains in zip(networks, ("mivos_prop", "mivos_fusion"), strict=True):
        network.load_state_dict(golden_weights(shapes_of(network), GAINS[gains]), assign=True)
        network.eval()
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, 32, 704, generator=generator)
    masks = torch.rand(2, 1, 32, 704, generator=generator)
    frozen = Frozen.of(masks[:1])
    results = []
    for side in (None, 256):
        model = MivosModel(*networks, torch.float32, top_k=20, batch_size=1, tile_side=side)
        query = model.encode(image)
        bank = SpaceTimeBank()
        bank.add(0, model.memorize(image, masks, frozen), keep=True)
        found = model.find(query, bank, frozen)
        correction = Correction.between(bank.key(0), masks, masks.flip(0))
        fused = model.fuse(
            image,
            query,
            old=masks,
            new=found[1:],
            correction=correction,
            distance=(0.25, 0.75),
            frozen=frozen,
        )
        results.append([*query, *bank.keys(slice(None)), *bank.values(slice(None)), found, fused])
    for whole, tiled in zip(*results, strict=True):
        torch.testing.assert_close(tiled, whole, rtol=0, atol=2e-4)
    assert 0.1 < results[0][-1].std() < 0.9

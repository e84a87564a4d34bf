from __future__ import annotations

import torch

from napari_vos.engines.mivos_frozen import Frozen, compete
from napari_vos.networks.mivos import aggregate


def masks(n_objects: int) -> torch.Tensor:
    drawn = torch.rand(n_objects, 1, 9, 12, generator=torch.Generator().manual_seed(n_objects))
    drawn[0, 0, :3], drawn[-1, 0, 3:6] = 0, 1
    return drawn


def test_frozen_objects_compete_as_if_they_were_among_the_others() -> None:
    moving, others = masks(3), masks(5)
    expected = aggregate(torch.cat([moving, others]))[:4]
    torch.testing.assert_close(compete(moving, Frozen.of(others)), expected)


def test_objects_can_be_joined_one_by_one() -> None:
    others = masks(5)
    joined = Frozen.of(others[:0])
    for index in range(5):
        joined = joined.joined(Frozen.of(others[index : index + 1]))
    for plane, expected in zip(joined, Frozen.of(others), strict=True):
        torch.testing.assert_close(plane, expected)


def test_without_frozen_objects_nothing_changes() -> None:
    moving = masks(3)
    assert torch.equal(compete(moving, Frozen.of(moving[:0])), aggregate(moving))

"""The size at which frames are seen, what lies beyond them, and what is kept of them."""

from __future__ import annotations

import pytest
import torch

from napari_vos.engines.mivos_bank import SpaceTimeBank
from napari_vos.engines.mivos_frames import cache_budgets
from napari_vos.engines.mivos_model import Memory
from napari_vos.engines.mivos_scale import WorkingFrame, scale_for


@pytest.mark.parametrize(
    ("side", "scale"), [(None, 1), (200, 1), (48, 1), (47, 1.5), (24, 2), (20, 2.5), (1, 4)]
)
def test_small_objects_are_enlarged_in_steps_of_a_half(side: float | None, scale: float) -> None:
    assert scale_for(side) == scale


def test_at_its_own_size_a_frame_is_padded_alone() -> None:
    working = WorkingFrame((100, 131), 1.0)
    planes = torch.rand(2, 3, 100, 131)
    seen = working.enter(planes)
    assert seen.shape == (2, 3, *working.padded) == (2, 3, 112, 144)
    assert torch.equal(seen[..., 6:106, 6:137], planes)
    assert torch.equal(working.leave(seen), planes)
    assert not seen[..., torch.from_numpy(working.border)].any()
    assert working.border.sum() == 112 * 144 - 100 * 131


@pytest.mark.parametrize(("scale", "padded"), [(2.5, (32, 80)), (0.5, (16, 16)), (0.25, (16, 16))])
def test_scaled_masks_come_back_as_they_were(scale: float, padded: tuple[int, int]) -> None:
    working = WorkingFrame((11, 30), scale)
    plane = torch.zeros(1, 1, 11, 30)
    plane[..., 2:9, 8:24] = 1
    assert working.padded == padded
    back = working.leave(working.enter(plane))
    assert back.shape == plane.shape
    assert ((back > 0.5) == (plane > 0.5)).float().mean() > (0.95 if scale > 1 else 0.8)


def test_profiles_keep_less_and_less() -> None:
    stack = {"n_frames": 100, "pixels": 10**6, "itemsize": 4}
    kept = [sum(cache_budgets(profile, **stack, free=0)) for profile in range(4)]
    assert kept == sorted(kept, reverse=True)
    assert (kept[0], kept[3]) == (118 * 10**8, 0)
    for profile, needed in enumerate(kept):
        assert cache_budgets("auto", **stack, free=4 * needed) == cache_budgets(
            profile, **stack, free=0
        )


def test_a_forgotten_frame_leaves_the_others() -> None:
    bank = SpaceTimeBank()
    for t in (0, 5, 6):
        bank.add(t, Memory(torch.full((2, 3, 4), t), torch.full((2, 3, 5), t)), keep=True)
    bank.forget(5)
    assert bank.frames == [0, 6]
    for parts in (bank.keys(slice(None)), bank.values(slice(None))):
        assert [int(part.unique()) for part in parts] == [0, 6]

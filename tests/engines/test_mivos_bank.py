from __future__ import annotations

from pathlib import Path

import pytest
import torch

from napari_vos.engines.mivos_bank import Memory, SpaceTimeBank
from napari_vos.errors import StoreError


def memory(number: int, dtype: torch.dtype = torch.float32) -> Memory:
    return Memory(
        torch.full((3, 4, 128), number, dtype=dtype), torch.full((3, 4, 512), -number, dtype=dtype)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("on_disk", [False, True])
def test_frames_are_kept_in_order_and_the_last_one_until_the_next(
    tmp_path: Path, on_disk: bool, dtype: torch.dtype
) -> None:
    bank = SpaceTimeBank(tmp_path if on_disk else None)
    for t, keep in [(7, True), (2, True), (3, False), (4, False), (5, True), (6, False)]:
        bank.add(t, memory(t, dtype), keep=keep)
    assert bank.frames == [7, 2, 5, 6]
    assert bank.n_objects == 3
    for objects, n_objects in [(slice(None), 3), (slice(2, 6), 1)]:
        keys, values = list(bank.keys(objects)), list(bank.values(objects))
        assert [key.shape for key in keys] == [(n_objects, 4, 128)] * 4
        assert [float(key.unique()) for key in keys] == bank.frames
        assert [-float(value.unique()) for value in values] == bank.frames
    assert float(bank.key(2).unique()) == 2
    bank.forget(2)
    assert [float(key.unique()) for key in bank.keys(slice(None))] == [7, 5, 6]


def test_only_the_last_frame_is_in_memory_where_there_is_a_folder(tmp_path: Path) -> None:
    bank = SpaceTimeBank(tmp_path)
    for t, keep in [(0, True), (1, False), (2, True), (3, False)]:
        bank.add(t, memory(t), keep=keep)
    sizes = sorted(path.stat().st_size for path in tmp_path.iterdir())
    assert sizes == [3 * 4 * 128 * 4] * 2 + [3 * 4 * 512 * 4] * 2
    bank.forget(0)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    bank = SpaceTimeBank(tmp_path / "missing")
    with pytest.raises(StoreError, match="missing"):
        bank.add(0, memory(0), keep=True)

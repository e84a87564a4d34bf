from __future__ import annotations

import pytest
import torch
from torch import Tensor

from napari_vos.networks.memory import read_memory
from napari_vos.networks.mivos import read_memories, reading


def memories(lengths: list[int]) -> tuple[list[Tensor], list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(0)
    keys, values = (
        [torch.randn(2, n, depth, generator=generator) for n in lengths] for depth in (8, 5)
    )
    return keys, values, torch.randn(2, 8, 40, generator=generator)


@pytest.mark.parametrize("way", ["_sum_chosen", "_sum_all"])
@pytest.mark.parametrize("top_k", [1, 7, 50, 1000])
@pytest.mark.parametrize("lengths", [[30], [30, 30, 30, 30], [3, 90, 20]])
def test_frames_are_read_as_if_they_were_one(
    monkeypatch: pytest.MonkeyPatch, lengths: list[int], top_k: int, way: str
) -> None:
    monkeypatch.setattr(reading, "CHUNK_ENTRIES", 400)
    monkeypatch.setattr(reading, "_sum_chosen", getattr(reading, way))
    keys, values, query = memories(lengths)
    together = (torch.cat(parts, dim=1).transpose(1, 2) for parts in (keys, values))
    torch.testing.assert_close(
        read_memories(keys, values, query, top_k=top_k), read_memory(*together, query, top_k=top_k)
    )


def test_each_frame_is_asked_for_once_for_keys_and_once_for_values() -> None:
    keys, values, query = memories([30, 30])
    read_memories(iter(keys), iter(values), query, top_k=5)


def test_half_precision_loses_no_more_than_rounding() -> None:
    keys, values, query = (
        [part.bfloat16() for part in parts] if isinstance(parts, list) else parts.bfloat16()
        for parts in memories([30, 30, 30])
    )
    read = read_memories(keys, values, query, top_k=20)
    assert read.dtype == torch.bfloat16
    exact = read_memories(
        [key.float() for key in keys],
        [value.float() for value in values],
        query.float(),
        top_k=20,
    )
    torch.testing.assert_close(read.float(), exact, rtol=0.02, atol=0.02)


def test_nothing_can_be_read_of_nothing() -> None:
    with pytest.raises(ValueError, match="Nothing is remembered"):
        read_memories([], [], torch.zeros(1, 8, 4), top_k=5)

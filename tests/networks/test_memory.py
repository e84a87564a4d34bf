import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from napari_vos.networks import memory
from napari_vos.networks.memory import read_memory


def random_memory(positions: int, queries: int = 7) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(2, 5, positions, generator=generator),
        torch.randn(2, 4, positions, generator=generator),
        torch.randn(2, 5, queries, generator=generator),
    )


def dense_reading(
    key: torch.Tensor, value: torch.Tensor, query: torch.Tensor, top_k: int
) -> torch.Tensor:
    affinity = torch.einsum("bdn,bdq->bnq", key, query) / math.sqrt(key.shape[1])
    ranks = affinity.argsort(dim=1, descending=True).argsort(dim=1)
    weight = torch.softmax(affinity.masked_fill(ranks >= top_k, -math.inf), dim=1)
    return torch.einsum("bvn,bnq->bvq", value, weight)


class LargestTensor(TorchDispatchMode):
    """Notes how many entries the largest tensor has that is made."""

    entries = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            self.entries = max(self.entries, tensor.numel())
        return made


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("top_k", [1, 3, 11])
def test_reading_is_a_softmax_over_the_best_positions(top_k: int, grad: bool) -> None:
    key, value, query = random_memory(11)
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(
            read_memory(key, value, query, top_k=top_k), dense_reading(key, value, query, top_k)
        )


def test_all_positions_are_read_without_top_k() -> None:
    key, value, query = random_memory(60)
    torch.testing.assert_close(
        read_memory(key, value, query, top_k=None), dense_reading(key, value, query, 60)
    )


def test_top_k_is_clamped_to_the_memory() -> None:
    key, value, query = random_memory(6)
    torch.testing.assert_close(
        read_memory(key, value, query, top_k=50), dense_reading(key, value, query, 6)
    )


def test_a_memory_of_one_position_is_read_everywhere() -> None:
    key, value, query = random_memory(1)
    torch.testing.assert_close(read_memory(key, value, query, top_k=16), value.expand(-1, -1, 7))


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("top_k", [3, None])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_loses_no_more_than_rounding_the_values(
    dtype: torch.dtype, top_k: int | None, grad: bool
) -> None:
    key, value, query = (part.to(dtype) for part in random_memory(60))
    with torch.set_grad_enabled(grad):
        read = read_memory(key, value, 20 * query, top_k=top_k)
    assert read.dtype == dtype
    exact = read_memory(key.float(), value.float(), 20 * query.float(), top_k=top_k)
    torch.testing.assert_close(read.float(), exact, rtol=0, atol=4 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("top_k", [3, None])
@torch.no_grad()
def test_the_affinity_never_exists_whole(
    monkeypatch: pytest.MonkeyPatch, top_k: int | None
) -> None:
    key, value, query = random_memory(positions=300, queries=200)
    whole = read_memory(key, value, query, top_k=top_k)
    monkeypatch.setattr(memory, "CHUNK_ENTRIES", 5000)
    with LargestTensor() as largest:
        read = read_memory(key, value, query, top_k=top_k)
    torch.testing.assert_close(read, whole)
    assert largest.entries <= 5000 < key[:, 0].numel() * query.shape[2]

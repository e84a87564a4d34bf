"""Reading memories of many frames one after the other: none of them has to stay at hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from napari_vos.networks.memory import CHUNK_ENTRIES, weighted_sum

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


def read_memories(
    keys: Iterable[Tensor], values: Iterable[Tensor], query_key: Tensor, *, top_k: int
) -> Tensor:
    """Read the memories of several frames as if they were one.

    The same as `networks.memory.read_memory` of all of them: first the best
    positions are found, frame by frame, then what lies there is summed. Each
    frame is asked for twice, its key and its value.

    Parameters
    ----------
    keys
        (B, N, D) float of each frame; N may differ.
    values
        (B, N, V) float of each frame, contiguous, in the same order.
    query_key
        (B, D, Q) float, Q query positions.
    top_k
        Memory positions read per query position, of all frames together; all if
        there are fewer.

    Returns
    -------
    Tensor
        (B, V, Q), of the values' dtype.
    """
    query = query_key.transpose(1, 2).float() / math.sqrt(query_key.shape[1])
    best, index = _find_best(keys, query, top_k)
    weight = torch.softmax(best, dim=-1)
    read, first = None, 0
    add = _sum_chosen if query.device.type == "cpu" else _sum_all
    for value in values:
        part = add(weight, index - first, value)
        read = part if read is None else read.add_(part)
        first, dtype = first + value.shape[1], value.dtype
    if read is None:
        raise ValueError("Nothing is remembered yet.")
    return read.to(dtype).transpose(1, 2)


def _find_best(keys: Iterable[Tensor], query: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Return the affinities (B, Q, k) of the best positions, and where they are."""
    best = query.new_empty(*query.shape[:2], 0)
    index = torch.empty_like(best, dtype=torch.int64)
    first = 0
    for key in keys:
        batch, positions, _ = key.shape
        known, wanted = best.shape[2], min(top_k, first + positions)
        rows = max(1, CHUNK_ENTRIES // (batch * positions))
        chunks = zip(*(torch.split(x, rows, dim=1) for x in (query, best, index)), strict=True)
        columns = key.float().transpose(1, 2)  # affinities in half precision are far off
        merged = []
        for some, before, before_index in chunks:
            found, where = (some @ columns).topk(min(top_k, positions), dim=-1, sorted=False)
            where += first
            if known:
                found, chosen = torch.cat([before, found], dim=-1).topk(
                    wanted, dim=-1, sorted=False
                )
                where = torch.cat([before_index, where], dim=-1).gather(-1, chosen)
            merged.append((found, where))
        best, index = (torch.cat(parts, dim=1) for parts in zip(*merged, strict=True))
        first += positions
    return best, index


def _sum_chosen(weight: Tensor, index: Tensor, value: Tensor) -> Tensor:
    """Return (B, Q, V) float32: what is read of the one frame (B, N, V) that `index` begins at.

    Each position that is read of any frame is touched once.
    """
    batch, positions, depth = value.shape
    inside = (index >= 0) & (index < positions)
    starts = torch.arange(0, batch * positions, positions, device=index.device)[:, None, None]
    counts = inside.sum(dim=-1).flatten()
    read = functional.embedding_bag(
        (index + starts)[inside],
        value.flatten(0, 1),
        counts.cumsum(0) - counts,
        per_sample_weights=weight[inside].to(value.dtype),
        mode="sum",
    )
    return read.float().reshape(batch, -1, depth)


def _sum_all(weight: Tensor, index: Tensor, value: Tensor) -> Tensor:
    """Return what `_sum_chosen` does; all is read, and what lies elsewhere counts nothing.

    Choosing would make an accelerator wait for what there is to choose.
    """
    batch, positions, depth = value.shape
    inside = (index >= 0) & (index < positions)
    rows = max(1, CHUNK_ENTRIES // (batch * index.shape[2] * depth))
    chosen = weight.where(inside, 0).to(value.dtype), index.clamp(0, positions - 1)
    weights, indices = (torch.split(part, rows, dim=1) for part in chosen)
    read = [weighted_sum(*chunk, value).float() for chunk in zip(weights, indices, strict=True)]
    return torch.cat(read, dim=1)

"""Reading a space-time memory: affinity, top-k, weighted sum of values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

CHUNK_ENTRIES = 1 << 24
"""Affinities and gathered values that exist at a time: 64 MiB in float32."""


def read_memory(
    memory_key: Tensor, memory_value: Tensor, query_key: Tensor, *, top_k: int | None
) -> Tensor:
    """Read the memory at every query position.

    The affinity is the scaled dot product of keys; each query position keeps
    its `top_k` best memory positions over all memory frames together, and
    their softmax weighs the values (space-time memory with top-k reading,
    Cheng et al., MiVOS, CVPR 2021, section 3.2). Query positions are read in
    parts, so that what it takes grows with N + Q and not with N · Q.

    Parameters
    ----------
    memory_key
        (B, D, N) float, N memory positions.
    memory_value
        (B, V, N) float. Read without a copy if it is the transpose of a
        contiguous (B, N, V).
    query_key
        (B, D, Q) float, Q query positions.
    top_k
        Memory positions read per query position, clamped to N; all if None.

    Returns
    -------
    Tensor
        (B, V, Q), of the values' dtype.
    """
    batch, depth, positions = memory_key.shape
    key = memory_key.float()  # a softmax of affinities in half precision is far off
    query = query_key.transpose(1, 2).float() / math.sqrt(depth)
    values = memory_value.transpose(1, 2).contiguous()
    if top_k is None or top_k >= positions:
        return _attend(query, key.transpose(1, 2), values).transpose(1, 2)
    entries = batch * (positions + top_k * values.shape[2])
    read = []
    for chunk in torch.split(query, max(1, CHUNK_ENTRIES // entries), dim=1):
        best, index = (chunk @ key).topk(top_k, dim=-1, sorted=False)
        read.append(weighted_sum(torch.softmax(best, dim=-1).to(values.dtype), index, values))
    return torch.cat(read, dim=1).transpose(1, 2)


def _attend(query: Tensor, key: Tensor, values: Tensor) -> Tensor:
    """Return the softmax of all affinities (B, Q, N) times the values, (B, Q, V).

    The kernel that never holds all affinities wants rows that lie in one piece and depths
    that are the same; the smaller one is filled up with zeros.
    """
    depth = max(key.shape[2], values.shape[2])
    query, key, filled = (
        functional.pad(part.float(), (0, depth - part.shape[2])).contiguous()[:, None]
        for part in (query, key, values)
    )
    read = functional.scaled_dot_product_attention(query, key, filled, scale=1.0)[:, 0]
    return read[..., : values.shape[2]].to(values.dtype)


def attend_differences(memory_key: Tensor, query_key: Tensor, differences: Tensor) -> Tensor:
    """Return where in a picture that shows what a correction changed in another one.

    Cheng et al., MiVOS, CVPR 2021, section 3.3.

    Parameters
    ----------
    memory_key
        (B, D, N) of the corrected picture alone.
    query_key
        (B, D, h, w) of the picture asked for, h · w = N.
    differences
        (B, 2, H, W) in [0, 1]: what the correction added, and what it removed.

    Returns
    -------
    Tensor
        (B, 2, H, W) in [0, 1].
    """
    coarse = functional.interpolate(differences, size=query_key.shape[-2:], mode="area")
    attended = read_memory(memory_key, coarse.flatten(2), query_key.flatten(2), top_k=None)
    return functional.interpolate(
        attended.reshape(coarse.shape),
        size=differences.shape[-2:],
        mode="bilinear",
        align_corners=False,
    )


def weighted_sum(weight: Tensor, index: Tensor, values: Tensor) -> Tensor:
    """Return what is read at every query position: (B, Q, V).

    Parameters
    ----------
    weight
        (B, Q, K) float, of the values' dtype.
    index
        (B, Q, K) int64, the memory positions that the weights are of.
    values
        (B, N, V) float.
    """
    batch, positions, _ = values.shape
    rows = torch.arange(batch, device=index.device)[:, None, None]
    if torch.is_grad_enabled() or values.device.type == "mps":
        return torch.einsum("bqk,bqkv->bqv", weight, values[rows, index])
    # Three times as fast, but slow to differentiate and not there on every device.
    read = functional.embedding_bag(
        (rows * positions + index).flatten(0, 1),
        values.flatten(0, 1),
        per_sample_weights=weight.flatten(0, 1),
        mode="sum",
    )
    return read.reshape(batch, -1, read.shape[-1])

"""Reading a space-time memory: affinity, top-k, weighted sum of values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def read_memory(
    memory_key: Tensor, memory_value: Tensor, query_key: Tensor, *, top_k: int
) -> Tensor:
    """Read the memory at every query position.

    The affinity is the scaled dot product of keys; each query position keeps
    its `top_k` best memory positions over all memory frames together, and
    their softmax weighs the values (space-time memory with top-k reading,
    Cheng et al., MiVOS, CVPR 2021, section 3.2).

    Parameters
    ----------
    memory_key
        (B, D, N) float, N memory positions.
    memory_value
        (B, V, N) float.
    query_key
        (B, D, Q) float, Q query positions.
    top_k
        Memory positions read per query position; clamped to N.

    Returns
    -------
    Tensor
        (B, V, Q) float.
    """
    batch, depth, _ = query_key.shape
    affinity = query_key.transpose(1, 2) @ memory_key / math.sqrt(depth)
    top_k = min(top_k, affinity.shape[-1])
    best, index = affinity.topk(top_k, dim=-1)
    weight = torch.softmax(best, dim=-1)
    values = memory_value.transpose(1, 2)
    rows = torch.arange(batch, device=values.device)[:, None, None]
    return torch.einsum("bqk,bqkv->bvq", weight, values[rows, index])

"""The memory bank: what is remembered of each object."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Memory(NamedTuple):
    """One remembered window: key (D + 3, N), with its places, and value (V, N)."""

    key: Tensor
    value: Tensor


class MemoryBank:
    """Certain memories from user frames, and a bounded number of kept ones.

    Parameters
    ----------
    capacity
        Kept memories an object may have; the oldest goes first.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._certain: dict[int, list[Memory]] = {}
        self._kept: dict[int, list[Memory]] = {}

    def add_certain(self, object_id: int, memory: Memory) -> None:
        """Remember a user frame of an object for good."""
        self._certain.setdefault(object_id, []).append(memory)

    def keep(self, object_id: int, memory: Memory) -> None:
        """Remember a propagated frame of an object for a while."""
        kept = self._kept.setdefault(object_id, [])
        kept.append(memory)
        del kept[: max(0, len(kept) - self._capacity)]

    def forget(self, object_id: int) -> None:
        """Drop an object that has ended."""
        self._certain.pop(object_id, None)
        self._kept.pop(object_id, None)

    def size(self, object_id: int) -> int:
        """Return the number of windows remembered of an object."""
        return len(self._certain.get(object_id, ())) + len(self._kept.get(object_id, ()))

    def read(self, object_id: int) -> Memory:
        """Return all that is remembered of an object, joined to (D, M·N) and (V, M·N)."""
        memories = self._certain.get(object_id, []) + self._kept.get(object_id, [])
        return Memory(
            torch.cat([memory.key for memory in memories], dim=1),
            torch.cat([memory.value for memory in memories], dim=1),
        )

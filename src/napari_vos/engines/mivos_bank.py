"""The memory of one pass of MiVOS: user frames, every so many others, and the previous one."""

from __future__ import annotations

import torch

from napari_vos.engines.mivos_model import Memory


class SpaceTimeBank:
    """Memories of the same objects in several frames, one after the other.

    Keys and values lie in one block each, so that they are read without a copy;
    only a frame that is kept makes them grow.
    """

    def __init__(self) -> None:
        self.frames: list[int] = []
        """Which frames are remembered, in order."""
        self._memory: Memory | None = None
        self._last_is_kept = True

    @property
    def memory(self) -> Memory:
        """All that is remembered, positions of one frame after those of another."""
        if self._memory is None:
            raise ValueError("Nothing is remembered yet.")
        return self._memory

    def add(self, t: int, memory: Memory, *, keep: bool) -> None:
        """Remember frame `t`; unless it is to be kept, only until the next one comes."""
        if self._memory is None:
            self._memory = memory
        elif self._last_is_kept:
            self._memory = Memory(
                *(torch.cat(pair, dim=1) for pair in zip(self._memory, memory, strict=True))
            )
        else:
            del self.frames[-1]
            for block, part in zip(self._memory, memory, strict=True):
                block[:, -part.shape[1] :] = part
        self.frames.append(t)
        self._last_is_kept = keep

    def forget(self, t: int) -> None:
        """Remember frame `t` no longer."""
        index, cells = self.frames.index(t), self.memory.key.shape[1] // len(self.frames)
        before, after = slice(index * cells), slice((index + 1) * cells, None)
        self._memory = Memory(
            *(torch.cat([block[:, before], block[:, after]], dim=1) for block in self.memory)
        )
        del self.frames[index]

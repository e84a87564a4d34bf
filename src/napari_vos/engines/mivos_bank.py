"""The memory of one pass of MiVOS: user frames, every so many others, and the previous one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from napari_vos.store.files import reported

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor


class Memory(NamedTuple):
    """What is remembered of K objects in a frame, at N positions.

    Attributes
    ----------
    key
        (K, N, 128).
    value
        (K, N, 512); position by position, since it is read so.
    """

    key: Tensor
    value: Tensor


@dataclass(frozen=True)
class _File:
    """A tensor in a file; in memory only while it is used, and of it only what is."""

    path: Path
    shape: torch.Size
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def write(cls, path: Path, tensor: Tensor) -> _File:
        with reported(path, "write"):
            tensor.cpu().contiguous().view(torch.uint8).numpy().tofile(path)
        return cls(path, tensor.shape, tensor.dtype, tensor.device)

    def read(self, objects: slice) -> Tensor:
        with reported(self.path, "read"):
            flat = torch.from_file(str(self.path), size=self.shape.numel(), dtype=self.dtype)
        return flat.reshape(self.shape)[objects].to(self.device)


class SpaceTimeBank:
    """Memories of the same objects in several frames, read frame by frame.

    Parameters
    ----------
    folder
        Where what is kept goes, so that memory doesn't grow with the movie; None
        to keep it on the device. The numbers are the same.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.frames: list[int] = []
        """Which frames are remembered, in order."""
        self._folder = folder
        self._memories: list[Memory | tuple[_File, _File]] = []
        self._last_is_kept = True
        self._n_files = 0

    @property
    def n_objects(self) -> int:
        """Number of objects that are remembered."""
        return self._memories[0][0].shape[0]

    def add(self, t: int, memory: Memory, *, keep: bool) -> None:
        """Remember frame `t`; unless it is to be kept, only until the next one comes."""
        if not self._last_is_kept:
            del self.frames[-1], self._memories[-1]
        self.frames.append(t)
        self._memories.append(self._stored(memory) if keep else memory)
        self._last_is_kept = keep

    def forget(self, t: int) -> None:
        """Remember frame `t` no longer."""
        index = self.frames.index(t)
        del self.frames[index]
        for part in self._memories.pop(index):
            if isinstance(part, _File):
                part.path.unlink()

    def key(self, t: int) -> Tensor:
        """Return the keys (K, N, 128) of frame `t`."""
        return _loaded(self._memories[self.frames.index(t)][0], slice(None))

    def keys(self, objects: slice) -> Iterator[Tensor]:
        """Yield the keys of some objects, frame by frame."""
        return (_loaded(memory[0], objects) for memory in self._memories)

    def values(self, objects: slice) -> Iterator[Tensor]:
        """Yield the values of some objects, frame by frame."""
        return (_loaded(memory[1], objects) for memory in self._memories)

    def _stored(self, memory: Memory) -> Memory | tuple[_File, _File]:
        if self._folder is None:
            return memory
        self._n_files += 1
        key, value = (
            _File.write(self._folder / f"{self._n_files}.{name}", part)
            for name, part in memory._asdict().items()
        )
        return key, value


def _loaded(part: Tensor | _File, objects: slice) -> Tensor:
    return part.read(objects) if isinstance(part, _File) else part[objects]

"""The interactions of MiVOS as its authors run them, on top of the engine's steps."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from napari_vos.engines.mivos_bank import Memory, SpaceTimeBank
from napari_vos.engines.mivos_frozen import Frozen
from napari_vos.engines.mivos_model import Correction, MivosModel
from napari_vos.networks.padding import Padding
from tests.golden import normalized


class OfficialSession:
    """The official loop over a dense volume of probabilities."""

    def __init__(self, model: MivosModel, video: Tensor, n_objects: int, memory_every: int) -> None:
        self.model, self.memory_every = model, memory_every
        self.padding = Padding.to_multiple(16, tuple(video.shape[1:3]))
        self.images = self.padding.add(normalized(video))[:, None]
        self.volume = torch.zeros(n_objects + 1, len(video), 1, *self.images.shape[-2:])
        self.volume[0] = 1e-7
        self.frozen = Frozen.of(self.volume[:0, 0])
        self.certain: list[tuple[int, Memory]] = []
        self.schedule: list[list[object]] = []

    def interact(self, start: int, labels: Tensor) -> None:
        ids = torch.arange(len(self.volume))[:, None, None, None]
        masks = self.padding.add((labels == ids).float())
        before = self.volume[1:, start].clone()
        self.volume[:, start] = masks
        memory = self.model.memorize(self.images[start], masks[1:], self.frozen)
        self.certain.append((start, memory))
        correction = Correction.between(memory.key, before, masks[1:])
        for direction in (1, -1):
            frames = list(self.until_next(start, direction))
            beyond = (frames[-1] if frames else start) + direction
            other = beyond if 0 <= beyond < len(self.images) else None
            self.run(start, frames, other, correction)

    def until_next(self, start: int, direction: int) -> Iterator[int]:
        t = start + direction
        while 0 <= t < len(self.images) and t not in {frame for frame, _ in self.certain}:
            yield t
            t += direction

    def run(self, start: int, frames: list[int], other: int | None, correction: Correction) -> None:
        bank = SpaceTimeBank()
        for frame, memory in self.certain:
            bank.add(frame, memory, keep=True)
        last_kept = start
        for t, following in pairwise([*frames, None]):
            self.schedule.append([t, list(bank.frames)])
            query = self.model.encode(self.images[t])
            found = self.model.find(query, bank, self.frozen)
            if following is not None:
                keep = abs(t - last_kept) >= self.memory_every
                last_kept = t if keep else last_kept
                memory = self.model.memorize(self.images[t], found[1:], self.frozen)
                bank.add(t, memory, keep=keep)
            if other is not None:
                length = abs(other - start)
                found = self.model.fuse(
                    self.images[t],
                    query,
                    old=self.volume[1:, t],
                    new=found[1:],
                    correction=correction,
                    distance=(abs(other - t) / length, abs(start - t) / length),
                    frozen=self.frozen,
                )
            self.volume[:, t] = found

    @property
    def labels(self) -> Tensor:
        return self.padding.remove(self.volume.argmax(dim=0)[:, 0])

"""MiVOS against the official numbers, step by step, and in sessions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from napari_vos.engines.mivos_bank import SpaceTimeBank
from napari_vos.engines.mivos_model import Correction, Memory, MivosModel
from napari_vos.networks.mivos import FusionNetwork, PropagationNetwork
from napari_vos.networks.padding import Padding
from tests.golden import assert_near, fill, golden_arrays, golden_file, normalized


@pytest.fixture(scope="module")
def networks() -> tuple[PropagationNetwork, FusionNetwork]:
    propagation, fusion = PropagationNetwork(), FusionNetwork()
    fill(propagation, "mivos_prop")
    fill(fusion, "mivos_fusion")
    return propagation, fusion


class OfficialSession:
    """The official interaction loop on a dense volume, on top of the engine's steps."""

    def __init__(self, model: MivosModel, video: Tensor, n_objects: int, memory_every: int) -> None:
        self.model, self.memory_every = model, memory_every
        self.padding = Padding.to_multiple(16, tuple(video.shape[1:3]))
        self.images = self.padding.add(normalized(video))[:, None]
        self.volume = torch.zeros(n_objects + 1, len(video), 1, *self.images.shape[-2:])
        self.volume[0] = 1e-7
        self.frozen = self.volume[:0, 0]
        self.certain: list[tuple[int, Memory]] = []
        self.schedule: list[list[object]] = []

    def interact(self, start: int, labels: Tensor) -> None:
        ids = torch.arange(len(self.volume))[:, None, None, None]
        masks = self.padding.add((labels == ids).float())
        before = self.volume[1:, start].clone()
        self.volume[:, start] = masks
        memory = self.model.memorize(self.images[start], masks[1:], self.frozen)
        self.certain.append((start, memory))
        correction = Correction.between(memory, before, masks[1:])
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
            found = self.model.find(query, bank.memory, self.frozen)
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


def check(session: OfficialSession, golden: dict[str, Tensor], step: str, tolerance: float) -> None:
    assert_near(session.volume, golden[f"prob_{step}"], tolerance)
    assert (session.labels != golden[f"masks_{step}"]).float().mean() <= 0.001


@pytest.mark.slow
@pytest.mark.parametrize("memory_every", [5, 2])
def test_two_objects_in_frames_that_need_padding(
    networks: tuple[PropagationNetwork, FusionNetwork], memory_every: int
) -> None:
    golden = golden_arrays("mivos_core_k2_100x131")
    schedule = json.loads(golden_file("mivos_core_schedule.json").read_text())
    model = MivosModel(*networks, torch.float32, top_k=50, batch_size=2)
    session = OfficialSession(model, golden["video_u8"], 2, memory_every)
    run = f"memfreq{memory_every}"
    steps = [(3, f"{run}_step1", f"k2_{run}_step1"), (9, f"{run}_step2", f"k2_{run}_step2")]
    if memory_every == 5:
        steps += [(6, "third_step3", "k2_3-9-6-3_step3"), (3, "third_step4", "k2_3-9-6-3_step4")]
    for frame, step, order in steps:
        session.schedule.clear()
        session.interact(frame, golden["gt_masks"][frame])
        assert session.schedule == schedule[order]
        check(session, golden, step, 2e-3)


@pytest.mark.slow
def test_one_object_read_with_a_smaller_top_k(
    networks: tuple[PropagationNetwork, FusionNetwork],
) -> None:
    golden = golden_arrays("mivos_core_k1_96x128")
    schedule = json.loads(golden_file("mivos_core_schedule.json").read_text())
    model = MivosModel(*networks, torch.float32, top_k=20, batch_size=1)
    session = OfficialSession(model, golden["video_u8"], 1, 2)
    for frame, step in [(0, "step1"), (5, "step2")]:
        session.schedule.clear()
        session.interact(frame, golden["gt_masks"][frame])
        assert session.schedule == schedule[f"k1_memfreq2_{step}"]
        check(session, golden, step, 2e-3)

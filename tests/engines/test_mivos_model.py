"""MiVOS against the official numbers, step by step, and in sessions."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

from napari_vos.engines.mivos_bank import Memory, SpaceTimeBank
from napari_vos.engines.mivos_frozen import Frozen
from napari_vos.engines.mivos_model import MivosModel
from napari_vos.networks.mivos import FusionNetwork, PropagationNetwork, aggregate
from tests.engines.official_mivos import OfficialSession
from tests.golden import assert_near, fill, golden_arrays, golden_file, normalized


@pytest.fixture(scope="module")
def networks() -> tuple[PropagationNetwork, FusionNetwork]:
    propagation, fusion = PropagationNetwork(), FusionNetwork()
    fill(propagation, "mivos_prop")
    fill(fusion, "mivos_fusion")
    return propagation, fusion


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


def relative(actual: Tensor, expected: Tensor) -> float:
    return float((actual.float() - expected).norm() / expected.float().norm())


@pytest.mark.slow
@torch.inference_mode()
def test_each_step_in_bfloat16_is_near_the_official_one() -> None:
    golden, network = golden_arrays("mivos_prop"), PropagationNetwork()
    fill(network, "mivos_prop")
    model = MivosModel(network.bfloat16(), None, torch.bfloat16, top_k=50, batch_size=3)
    frames, masks = normalized(golden["frames_u8"]), golden["masks"][0]
    query, alone = model.encode(frames[3:]), Frozen.of(masks[:0])
    assert relative(query.key, golden["query_key"]) < 0.02
    assert relative(query.value, golden["query_value"]) < 0.02
    memories = [
        [golden[f"mem_{part}_k3_T3"][:, :, t].flatten(2).transpose(1, 2) for part in Memory._fields]
        for t in range(3)
    ]
    for part, expected in zip(model.memorize(frames[:1], masks, alone), memories[0], strict=True):
        assert relative(part, expected) < 0.02
    bank = SpaceTimeBank()
    for t, (key, value) in enumerate(memories):
        bank.add(t, Memory(key.bfloat16().contiguous(), value.bfloat16().contiguous()), keep=True)
    found = model.find(query, bank, alone)
    expected = aggregate(golden["seg_k3_T3_top50"])
    assert (found - expected).abs().mean() < 0.005
    assert (found.argmax(dim=0) != expected.argmax(dim=0)).float().mean() < 0.01

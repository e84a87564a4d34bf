"""MiVOS against the official numbers, step by step, and in sessions."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

from napari_vos.engines.mivos_model import MivosModel
from napari_vos.networks.mivos import FusionNetwork, PropagationNetwork
from tests.engines.official_mivos import OfficialSession
from tests.golden import assert_near, fill, golden_arrays, golden_file


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

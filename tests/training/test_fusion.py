from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_vos import checkpoints
from napari_vos.networks.compact_fusion import CompactFusionNetwork
from napari_vos.simulation import Modality, Scenario, simulate
from napari_vos.training import fusion
from napari_vos.training.fusion import Fusions, FusionStream, FusionTraining, collect, compare
from napari_vos.training.scenes import Scene


@pytest.fixture(scope="module")
def windows() -> Fusions:
    scenario = Scenario(
        modality=Modality.FLUORESCENCE,
        shape=(96, 96),
        n_frames=7,
        n_cells=3,
        diameter=24,
        division_rate=0.0,
        death_rate=0.0,
        entry_rate=0.0,
    )
    movie = simulate(scenario, seed=1)
    scene = Scene(movie.images, movie.labels, exact=True)
    parts = collect(scene, np.random.default_rng(1))
    return Fusions(*(torch.cat(part) for part in zip(*parts, strict=True)))


def test_windows_hold_two_masks_and_the_truth_of_the_frames_between(windows: Fusions) -> None:
    count = len(windows.truth)
    assert count >= 3
    assert windows.image.shape == (count, 4, 96, 96)
    assert windows.attention.shape == (count, 2, 96, 96)
    torch.testing.assert_close(
        windows.distance.float().sum(1), torch.ones(count), atol=2e-3, rtol=0
    )
    assert 0 < windows.distance.min() < windows.distance.max() < 1
    for mask in (windows.old, windows.new):
        both = ((mask > 0.5) & (windows.truth > 0.5)).sum((1, 2, 3))
        either = ((mask > 0.5) | (windows.truth > 0.5)).sum((1, 2, 3))
        assert (both / either).mean() > 0.6


def test_mirrored_windows_stay_aligned(windows: Fusions) -> None:
    stream = iter(FusionStream(windows, FusionTraining(out=Path(), batch_size=32), 0))
    batch = next(stream)
    both = ((batch.new > 0.5) & (batch.truth > 0.5)).sum((1, 2, 3))
    assert (both / (batch.truth > 0.5).sum((1, 2, 3))).mean() > 0.6
    again = next(iter(FusionStream(windows, FusionTraining(out=Path(), batch_size=32), 0)))
    assert all(torch.equal(one, other) for one, other in zip(batch, again, strict=True))


def test_a_few_steps_lower_the_loss(windows: Fusions) -> None:
    torch.manual_seed(0)
    network = CompactFusionNetwork()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    batch = next(iter(FusionStream(windows, FusionTraining(out=Path(), batch_size=4), 0)))
    totals = []
    for _ in range(24):
        losses = compare(network, batch, torch.Generator())
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        totals.append(float(losses.total.detach()))
    assert totals[-1] < 0.7 * totals[0]


def test_the_recipe_writes_weights_that_load(
    tmp_path: Path, windows: Fusions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fusion, "scenes_of", lambda _recipe: iter([None]))
    monkeypatch.setattr(fusion, "collect", lambda _scene, _rng: [windows])
    path = fusion.train(FusionTraining(out=tmp_path, scenes=1, minutes=0.01, batch_size=2))
    assert checkpoints.identify(path).network == "compact_fusion"
    assert checkpoints.identify(path).fits
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["steps"] > 0
    assert 0 < card["linear_jaccard"] <= 1

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_vos import checkpoints
from napari_vos.networks.refinement import RefinementNetwork
from napari_vos.training.outlines import CANVAS_SIZE, N_OBJECTS, Outlines, sample_outlines
from napari_vos.training.refinement import RefinementTraining, compare, train
from napari_vos.training.scenes import Scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Bright disks in noise."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((2, 150, 170))[1:]
    labels = np.zeros(rows.shape, np.uint16)
    for object_id, (y, x, radius) in enumerate([(40, 50, 30), (60, 110, 22), (120, 60, 17)], 1):
        labels[np.hypot(rows - y, columns - x) < radius] = object_id
    images = 1000 * (labels > 0) + rng.normal(300, 20, labels.shape)
    return Scene(images.astype(np.uint16), labels, exact=True)


def batch(scene: Scene, seed: int = 0) -> Outlines:
    rng = np.random.default_rng(seed)
    samples = [sample_outlines(rng, scene) for _ in range(4)]
    return Outlines(*(torch.stack(parts) for parts in zip(*samples, strict=True)))


def test_coarse_masks_are_near_the_truth_but_not_equal(scene: Scene) -> None:
    outlines = batch(scene)
    size = CANVAS_SIZE, CANVAS_SIZE
    assert outlines.images.shape == (4, 3, *size)
    assert outlines.own.shape == outlines.others.shape == (4, N_OBJECTS, *size)
    assert outlines.own.shape == outlines.truth.shape
    assert set(outlines.octaves.tolist()) <= {1.0, 2.0, 3.0}
    wrong = (outlines.own > 0.5) != (outlines.truth > 0.5)
    assert 0 < wrong.float().mean() < 0.1
    assert float((outlines.own + outlines.others).max()) < 1.4


def test_small_frames_are_filled_up() -> None:
    labels = np.zeros((1, 40, 200), np.uint16)
    labels[0, 10:20, 30:60] = 7
    outlines = sample_outlines(
        np.random.default_rng(0), Scene(np.ones_like(labels), labels, exact=True)
    )
    assert outlines.truth.shape == (N_OBJECTS, CANVAS_SIZE, CANVAS_SIZE)
    assert outlines.truth.any()


def test_the_network_begins_with_the_coarse_mask() -> None:
    network = RefinementNetwork()
    torch.nn.init.zeros_(network.head.predictor.weight)
    torch.nn.init.zeros_(network.head.predictor.bias)
    coarse = torch.rand(1, 3, 50)
    logits = network(coarse, torch.randn(1, sum(network.widths), 50))
    torch.testing.assert_close(logits > 0, coarse[:, :1] > 0.5)


def test_steps_on_one_batch_make_borders_better_than_they_were(scene: Scene) -> None:
    torch.manual_seed(0)
    network, outlines = RefinementNetwork((8, 8, 8), 16), batch(scene)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for step in range(25):
        losses = compare(network, outlines, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
    assert losses.wrong < 0.6 * losses.wrong_before


def test_the_recipe_writes_weights_and_goes_on_where_it_was(tmp_path: Path, scene: Scene) -> None:
    (tmp_path / "scenes").mkdir()
    np.savez(tmp_path / "scenes" / "scene-001000.npz", images=scene.images, labels=scene.labels)
    recipe = RefinementTraining(out=tmp_path, scenes=1, minutes=0.02, batch_size=1)
    path = train(recipe)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["recipe"] == "napari-vos train refinement"
    assert card["steps"] > 0
    found = checkpoints.identify(path)
    assert (found.network, found.misfit) == ("refinement", "")
    lines: list[str] = []
    train(recipe, report=lines.append)
    assert lines[0].startswith(f"continuing at step {card['steps']}")

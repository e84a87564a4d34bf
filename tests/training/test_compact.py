from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_vos import checkpoints
from napari_vos.networks.compact import CompactNetwork
from napari_vos.training.clips import CANVAS_SIZE, Clips, collate, find_tracks, sample_clip
from napari_vos.training.compact import CompactTraining, train
from napari_vos.training.rollout import roll_out
from napari_vos.training.scenes import Scene, simulate_scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    return simulate_scene(1000)


def batch(scene: Scene) -> Clips:
    rng = np.random.default_rng(0)
    tracks = find_tracks(scene, 0)
    return collate([sample_clip(rng, scene, track, length=3) for track in tracks[:2]])


def test_scenes_follow_their_seed(scene: Scene) -> None:
    again = simulate_scene(1000)
    np.testing.assert_array_equal(again.images, scene.images)
    np.testing.assert_array_equal(again.labels, scene.labels)


def test_clips_hold_the_object_at_the_second_frame(scene: Scene) -> None:
    clips = batch(scene)
    assert clips.images.shape == (2, 3, 3, CANVAS_SIZE, CANVAS_SIZE)
    assert clips.masks.shape == clips.others.shape == (2, 3, 1, CANVAS_SIZE, CANVAS_SIZE)
    assert (clips.masks[:, 1].amax(dim=(1, 2, 3)) > 0.5).all()
    assert float(clips.masks.min()) >= 0
    assert float((clips.masks + clips.others).max()) <= 1.001
    assert (clips.presence[:, 1] == 1).all()


def test_a_few_steps_on_one_batch_lower_the_loss(scene: Scene) -> None:
    torch.manual_seed(0)
    network, clips = CompactNetwork(), batch(scene)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    masks = []
    for _ in range(8):
        losses = roll_out(network, clips, generator=torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        masks.append(losses.mask.item())
    assert masks[-1] < 0.9 * masks[0]


def test_the_recipe_writes_weights_and_goes_on_where_it_was(tmp_path: Path) -> None:
    recipe = CompactTraining(out=tmp_path, scenes=1, minutes=0.03, batch_size=1, clip_length=3)
    path = train(recipe)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["sha256"] == checkpoints.sha256_of(path)
    assert card["steps"] > 0
    assert checkpoints.identify(path).fits
    lines: list[str] = []
    train(recipe, report=lines.append)
    assert lines[0].startswith(f"continuing at step {card['steps']}")

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_vos import FrameStack, checkpoints
from napari_vos.errors import FramesError, PromptError
from napari_vos.training import adapt_compact
from napari_vos.training.adapt import Adaptation
from napari_vos.training.adapt_compact import CompactLessons
from napari_vos.training.clips import CANVAS_SIZE
from tests.disks import disks


@pytest.fixture
def lessons(monkeypatch: pytest.MonkeyPatch) -> CompactLessons:
    image, labels = disks()
    monkeypatch.setattr(adapt_compact, "REHEARSED", 0.0)
    frames = FrameStack(np.stack([image, image + 1]), axes="TYX", name="disks")
    return CompactLessons(frames, {0: labels}, checkpoints.resolve(None, "compact"))


def test_clips_depend_on_the_seed_alone(lessons: CompactLessons) -> None:
    one, other, third = (lessons.batch(np.random.default_rng(seed), 2) for seed in (1, 1, 2))
    assert one.images.shape == (2, lessons.length, 3, CANVAS_SIZE, CANVAS_SIZE)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(one.images, third.images)
    assert bool((one.presence == 1).all())


def test_simulated_movies_are_rehearsed(
    lessons: CompactLessons, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, labels = disks()
    seeds = []

    def simulate(seed: int) -> adapt_compact.Scene:
        seeds.append(seed)
        movie = np.stack([image] * 8), np.stack([labels] * 8)
        return adapt_compact.Scene(*movie, exact=True)

    monkeypatch.setattr(adapt_compact, "simulate_scene", simulate)
    monkeypatch.setattr(adapt_compact, "REHEARSED", 1.0)
    for _ in range(adapt_compact.CLIPS_PER_SCENE + 1):
        lessons.batch(np.random.default_rng(0), 1)
    assert len(seeds) == 2


def test_the_shipped_weights_learn(lessons: CompactLessons, tmp_path: Path) -> None:
    lessons.batch_size = 1
    adaptation = Adaptation(lessons, minutes=60)
    steps = adaptation.run()
    start = next(steps)
    assert start.loss is not None
    assert next(steps).step == 1
    steps.close()
    path = tmp_path / "adapted.safetensors"
    path.write_bytes(adaptation.weights())
    checkpoints.load_network("compact", path)


def test_what_nothing_can_be_learned_from_is_refused(tmp_path: Path) -> None:
    image, labels = disks()
    weights = checkpoints.resolve(None, "compact")
    frames = FrameStack(np.stack([image] * 3), axes="TYX", name="disks")
    for annotated in ({}, {0: np.zeros_like(labels)}):
        with pytest.raises(PromptError, match="No object of 25 pixels or more is marked on"):
            CompactLessons(frames, annotated, weights)
    with pytest.raises(FramesError, match="one frame alone"):
        CompactLessons(FrameStack(image[None], axes="TYX"), {0: labels}, weights)
    with pytest.raises(FramesError, match="constant"):
        CompactLessons(FrameStack(np.ones((3, *image.shape)), axes="TYX"), {0: labels}, weights)


def test_frames_smaller_than_a_window_are_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapt_compact, "REHEARSED", 0.0)
    images = np.random.default_rng(0).integers(0, 1000, (2, 14, 19)).astype(np.uint16)
    labels = np.zeros(images.shape[1:], np.uint16)
    labels[3:9, 4:11] = 5
    frames = FrameStack(images, axes="TYX")
    lessons = CompactLessons(frames, {1: labels}, checkpoints.resolve(None, "compact"))
    clips = lessons.batch(np.random.default_rng(0), 1)
    losses = lessons.losses(lessons.network, clips, torch.Generator().manual_seed(0))
    assert bool(torch.isfinite(losses.total))
    assert float(clips.visible.mean()) < 0.8

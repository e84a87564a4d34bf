from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_vos import FrameStack, checkpoints
from napari_vos.errors import FramesError, PromptError
from napari_vos.training import adapt_compact
from napari_vos.training.adapt import Adaptation
from napari_vos.training.adapt_compact import CompactLessons, dream
from napari_vos.training.clips import CANVAS_SIZE

SHAPE = (80, 90)


def disks() -> tuple[np.ndarray, np.ndarray]:
    """A picture of two textured disks, and their labels."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    labels = np.zeros(SHAPE, np.uint16)
    labels[(y - 30) ** 2 + (x - 40) ** 2 < 12**2] = 3
    labels[(y - 60) ** 2 + (x - 70) ** 2 < 9**2] = 8
    noise = np.random.default_rng(0).standard_normal(SHAPE)
    image = 100 * (labels > 0) + 30 * ndimage.gaussian_filter(noise, 1.5) + 5 * noise
    return (500 + image).astype(np.float32), labels


@pytest.fixture
def lessons(monkeypatch: pytest.MonkeyPatch) -> CompactLessons:
    image, labels = disks()
    monkeypatch.setattr(adapt_compact, "REHEARSED", 0.0)
    frames = FrameStack(np.stack([image, image + 1]), axes="TYX", name="disks")
    return CompactLessons(frames, {0: labels}, checkpoints.resolve(None, "compact"))


@pytest.mark.parametrize("seed", range(3))
def test_a_dream_begins_with_the_frame_and_moves_on(seed: int) -> None:
    image, labels = disks()
    rng = np.random.default_rng(seed)
    scene, track = dream(rng, image, labels, 3, n_frames=8)
    assert track.frames == tuple(range(8))
    assert scene.images.shape == scene.labels.shape
    height, width = scene.labels.shape[1:]
    np.testing.assert_array_equal(scene.labels[0], labels[:height, :width])
    np.testing.assert_allclose(scene.images[0], image[:height, :width], rtol=1e-4)
    area = (labels == 3).sum()
    overlaps = []
    for frame in scene.labels[1:]:
        mask = frame == 3
        assert 0.4 * area < mask.sum() < 2.5 * area
        largest = np.bincount(ndimage.label(mask)[0].ravel())[1:].max()
        assert largest > 0.95 * mask.sum()
        overlaps.append((mask & (scene.labels[0] == 3)).sum() / area)
    assert min(overlaps) < 0.99
    # The picture moves with the labels: disks are brighter than what is around them.
    for picture, frame in zip(scene.images, scene.labels, strict=True):
        assert picture[frame == 3].mean() > picture[frame == 0].mean() + 50


def test_a_large_object_is_dreamt_of_at_a_smaller_scale() -> None:
    image, labels = (np.kron(part, np.ones((8, 8), part.dtype)) for part in disks())
    scene, track = dream(np.random.default_rng(0), image, labels, 3, n_frames=4)
    assert max(scene.labels.shape[1:]) < 400
    assert len(track.frames) == 4


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
        CompactLessons(FrameStack(np.ones((3, *SHAPE)), axes="TYX"), {0: labels}, weights)


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

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_vos.training.dreams import calmed, dream
from tests.disks import SHAPE, disks


@pytest.mark.parametrize("seed", range(3))
def test_a_dream_begins_with_the_frame_and_moves_on(seed: int) -> None:
    image, labels = disks()
    rng = np.random.default_rng(seed)
    scene, track = dream(rng, image, calmed(image), labels, 3, n_frames=8)
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


def test_noise_is_new_on_every_frame_and_as_strong() -> None:
    image, labels = disks()
    noisy = (image + 20 * np.random.default_rng(1).standard_normal(SHAPE)).astype(np.float32)
    calm = calmed(noisy)
    assert np.std(calm - image) < 0.7 * np.std(noisy - image)
    scene, _ = dream(np.random.default_rng(0), noisy, calm, labels, 8, n_frames=5)
    # Differences of neighbouring pixels are noise for the most part.
    grain = np.diff(scene.images, axis=2).reshape(len(scene.images), -1)
    strength = grain.std(axis=1)
    assert np.ptp(strength[1:]) < 0.1 * strength[0]
    assert 0.5 * strength[0] < strength[1:].mean() < 1.6 * strength[0]
    alike = np.corrcoef(grain)[~np.eye(len(grain), dtype=bool)]
    assert abs(alike).max() < 0.3


def test_a_large_object_is_dreamt_of_at_a_smaller_scale() -> None:
    image, labels = (np.kron(part, np.ones((8, 8), part.dtype)) for part in disks())
    scene, track = dream(np.random.default_rng(0), image, calmed(image), labels, 3, n_frames=4)
    assert max(scene.labels.shape[1:]) < 400
    assert len(track.frames) == 4

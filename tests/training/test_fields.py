from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_vos.engines.cells import SIDE
from napari_vos.training import fields
from napari_vos.training.fields import (
    UNKNOWN,
    LabelledMovie,
    augment,
    sample_field,
    truth_of,
)
from napari_vos.training.scenes import Scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Bright disks in noise on two frames, none on the third."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((3, 150, 170))[1:]
    labels = np.zeros(rows.shape, np.uint16)
    for object_id, (y, x, radius) in enumerate([(40, 50, 12), (60, 110, 9), (120, 60, 7)], 1):
        labels[np.hypot(rows - y, columns - x) < radius] = object_id
    labels[2] = 0
    images = 1000 * (labels > 0) + rng.normal(300, 20, labels.shape)
    return Scene(images.astype(np.uint16), labels, exact=True)


def test_fields_show_what_their_labels_say(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "augment", lambda _rng, grey: grey)
    movie = LabelledMovie(scene, range(3))
    assert movie.filled == [0, 1]
    sides = []
    for seed in range(6):
        images, labels = sample_field(np.random.default_rng(seed), movie)
        assert images.shape == (1, 3, SIDE, SIDE)
        assert labels.shape == (1, SIDE, SIDE)
        assert labels.dtype == torch.int32
        inside, outside = images[0, 0][labels[0] > 0], images[0, 0][labels[0] == 0]
        if len(inside):
            assert float(inside.median()) > 0.7
            assert float(outside.median()) < 0.3
            sides.append(float((labels[0] == labels[0].max()).sum().sqrt()))
    assert max(sides) > 1.5 * min(sides)


def test_wider_fields_show_smaller_objects(scene: Scene) -> None:
    movie = LabelledMovie(scene, range(3))
    areas = []
    for wider in (1, 2):
        shown = [
            sample_field(np.random.default_rng(seed), movie, scales=0, wider=wider).labels
            for seed in range(4)
        ]
        areas.append(max(int((labels == 1).sum()) for labels in shown))
    assert areas[0] > 2 * areas[1] > 0


def test_what_has_no_mask_is_unknown_unless_all_have(scene: Scene) -> None:
    movie = LabelledMovie(scene, {1})
    assert set(np.unique(movie.labels(0))) == {UNKNOWN, 1, 2, 3}
    assert set(np.unique(movie.labels(1))) == {0, 1, 2, 3}


def test_tiny_parts_are_unknown() -> None:
    labels = np.zeros((1, 300, 300), np.uint16)
    labels[0, 100:140, 100:140] = 1
    labels[0, 138:141, 200:202] = 2
    movie = LabelledMovie(Scene(labels, labels, exact=True), {0})
    found = [sample_field(np.random.default_rng(seed), movie).labels for seed in range(8)]
    areas = [int((part == 2).sum()) for part in found]
    assert all(area == 0 or area >= fields.SMALLEST_AREA for area in areas)
    assert any((part == UNKNOWN).any() for part in found)


def test_another_microscope_shows_the_same_place() -> None:
    grey = np.zeros((40, 50), np.float32)
    grey[10:20, 10:20] = 1
    shown = [augment(np.random.default_rng(seed), grey) for seed in range(20)]
    contrast = [float(one[12:18, 12:18].mean() - one[25:, 25:].mean()) for one in shown]
    assert min(np.abs(contrast)) > 0.3
    assert min(contrast) < 0 < max(contrast)
    assert {one.dtype for one in shown} == {np.dtype(np.float32)}


def test_truth_of_labels() -> None:
    labels = torch.zeros(100, 100, dtype=torch.int32)
    labels[10:30, 40:50] = 7
    labels[60:61, 0:100] = 3
    truth = truth_of(labels)
    torch.testing.assert_close(truth.boxes, torch.tensor([[0, 0.6, 1, 0.61], [0.4, 0.1, 0.5, 0.3]]))
    assert truth.masks.sum(dim=(1, 2)).tolist() == [100, 200]
    assert truth.unknown is None
    labels[90:] = UNKNOWN
    unknown = truth_of(labels).unknown
    assert unknown is not None
    assert int(unknown.sum()) == 1000
    nothing = truth_of(torch.zeros(8, 8, dtype=torch.int32))
    assert nothing.boxes.shape == (0, 4)
    assert nothing.masks.shape == (0, 8, 8)

from __future__ import annotations

import numpy as np
import pytest

from napari_vos.session.merge import (
    cut_window,
    labels_of,
    labels_with_locks,
    user_evidence,
    without_pixels,
)
from napari_vos.store.evidence import Box, ObjectEvidence, Source


def item(object_id, box, probability, source=Source.PROPAGATED):
    window = np.broadcast_to(np.float16(probability), Box(*box).shape)
    return ObjectEvidence(object_id, Box(*box), window, 0.5, source)


def dense_labels(objects, shape):
    """The definition, with a plane for each object."""
    planes = np.zeros((len(objects) + 1, *shape), np.float32)
    for plane, each in zip(planes[1:], objects, strict=True):
        plane[each.box.slices] = each.probability
    planes[0] = np.maximum(0, 1 - planes[1:].sum(0))
    ids = np.array([0, *(each.object_id for each in objects)], np.uint16)
    return ids[planes.argmax(0)]


def test_windows_give_what_planes_would():
    rng = np.random.default_rng(0)
    objects = []
    for object_id in (3, 7, 20, 400):
        top, left = rng.integers(0, 20, 2)
        box = Box(int(top), int(left), int(top) + 12, int(left) + 10)
        window = (rng.random(box.shape) ** 2).astype(np.float16)
        objects.append(ObjectEvidence(object_id, box, window, 0.5, Source.PROPAGATED))
    labels = labels_of(objects, (32, 32))
    assert labels.dtype == np.uint16
    assert len(np.unique(labels)) == 5
    assert np.array_equal(labels, dense_labels(objects, (32, 32)))
    assert np.array_equal(labels, labels_of(objects[::-1], (32, 32)))


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (0.5, 0.0, 0),
        (0.51, 0.0, 1),
        (0.4, 0.3, 1),
        (0.3, 0.3, 0),
        (0.4, 0.4, 1),
        (0.6, 0.7, 2),
        (1.0, 1.0, 1),
    ],
)
def test_the_most_probable_wins(one, two, expected):
    objects = [item(1, (0, 0, 1, 1), one), item(2, (0, 0, 1, 1), two)]
    assert labels_of(objects, (1, 1))[0, 0] == expected


def test_the_users_own_comes_first_among_equals():
    objects = [item(1, (0, 0, 1, 1), 1.0), item(2, (0, 0, 1, 1), 1.0, Source.USER)]
    assert labels_of(objects, (1, 1))[0, 0] == 2


def test_no_objects_give_background():
    assert not labels_of([], (3, 4)).any()


def test_locked_objects_neither_lose_nor_gain():
    current = np.array([[1, 1, 0, 2]], np.uint16)
    objects = [item(1, (0, 2, 1, 4), 0.9), item(3, (0, 0, 1, 3), 0.8)]
    assert labels_with_locks(objects, current, {1}).tolist() == [[1, 1, 0, 0]]
    assert labels_with_locks(objects, current, set()).tolist() == [[3, 3, 1, 1]]
    assert labels_with_locks(objects, current, {0, 1, 2}).tolist() == current.tolist()


def test_painted_masks_are_certain():
    labels = np.zeros((6, 7), np.uint16)
    labels[1:3, 2:5] = 9
    labels[2, 3] = 65535
    objects = user_evidence(labels)
    assert set(objects) == {9, 65535}
    assert objects[9].box == Box(1, 2, 3, 5)
    assert objects[9].probability.tolist() == [[1, 1, 1], [1, 0, 1]]
    assert objects[65535].box == Box(2, 3, 3, 4)
    assert {(each.confidence, each.source) for each in objects.values()} == {(1.0, Source.USER)}


def test_painting_takes_pixels_from_others():
    painted = np.zeros((4, 4), bool)
    painted[:2, :2] = True
    objects = {
        1: item(1, (0, 0, 3, 3), 0.7),
        2: item(2, (0, 0, 2, 2), 0.7),
        3: item(3, (2, 2, 4, 4), 0.7),
    }
    rest = without_pixels(objects, painted)
    assert set(rest) == {1, 3}
    assert rest[3] is objects[3]
    assert (rest[1].probability == 0).sum() == 4
    assert rest[1].probability.dtype == np.float16


def test_a_window_that_misses_the_object_is_empty():
    assert not cut_window(item(1, (0, 0, 2, 2), 1.0), Box(2, 2, 4, 4)).any()
    assert cut_window(item(1, (1, 1, 3, 3), 1.0), Box(0, 0, 2, 2)).tolist() == [[0, 0], [0, 1]]
    assert cut_window(None, Box(0, 0, 2, 3)).shape == (2, 3)

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import disk

from napari_vos.metrics import boundary_accuracy
from napari_vos.metrics.boundary import boundary_map, match_boundaries, matching_radius


def square(shape, top, left, size):
    mask = np.zeros(shape, bool)
    mask[top : top + size, left : left + size] = True
    return mask


def test_boundary_of_a_pixel_and_of_the_frame():
    expected = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 0]], bool)
    assert np.array_equal(boundary_map(square((3, 3), 1, 1, 1)), expected)
    assert not boundary_map(np.ones((3, 3), bool)).any()


@pytest.mark.parametrize(("shape", "radius"), [((60, 80), 1), ((240, 427), 4), ((480, 854), 8)])
def test_radius(shape, radius):
    assert matching_radius(shape) == radius


def test_lines_by_hand():
    # 100 pixels along the diagonal: the radius is 1.
    result, truth = np.zeros((2, 60, 80), bool)
    truth[10, 10:20] = True
    result[11, 10:18] = True
    result[30, 30:32] = True
    precision, recall = 8 / 10, 8 / 10
    f = 2 * precision * recall / (precision + recall)
    assert match_boundaries(result, truth, 1) == pytest.approx(f)
    assert match_boundaries(result, truth, 0) == 0


def test_shifted_squares():
    shape = (60, 80)
    truth = square(shape, 20, 20, 20)
    assert boundary_accuracy(truth, truth) == 1
    assert boundary_accuracy(square(shape, 20, 21, 20), truth) == 1
    # Two pixels to the side: of each square's 80 boundary pixels (a closed line around 20 by
    # 20) those of the two upright sides fail, but where the level sides begin and end.
    assert 0.4 < boundary_accuracy(square(shape, 20, 22, 20), truth) < 0.6


def test_one_is_missing():
    mask = square((60, 80), 20, 20, 20)
    empty = np.zeros_like(mask)
    assert boundary_accuracy(empty, empty) == 1
    assert boundary_accuracy(mask, empty) == 0
    assert boundary_accuracy(empty, mask) == 0


def test_distances_are_those_of_a_dilation_with_a_disk():
    rng = np.random.default_rng(0)
    result, truth = rng.random((2, 70, 90)) < 0.03
    for radius in (1, 2, 5):
        near_truth = ndimage.binary_dilation(truth, disk(radius))
        near_result = ndimage.binary_dilation(result, disk(radius))
        precision = (result & near_truth).sum() / result.sum()
        recall = (truth & near_result).sum() / truth.sum()
        f = 2 * precision * recall / (precision + recall)
        assert match_boundaries(result, truth, radius) == pytest.approx(f)

from __future__ import annotations

import numpy as np
import pytest

from napari_vos.metrics import region_similarity


def test_overlap_by_hand():
    result = np.zeros((4, 6), bool)
    truth = np.zeros((4, 6), bool)
    result[:2, :3] = True  # 6 pixels
    truth[:2, 1:5] = True  # 8 pixels, 4 of them common
    assert region_similarity(result, truth) == pytest.approx(4 / 10)


def test_empty_masks():
    empty = np.zeros((3, 3), bool)
    assert region_similarity(empty, empty) == 1
    assert region_similarity(empty, ~empty) == 0

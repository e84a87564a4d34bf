from __future__ import annotations

import numpy as np

from napari_vos.store.evidence import expected_jaccard


def test_sharp_probabilities_expect_more():
    assert expected_jaccard(np.array([[1, 1, 0]], np.float16)) == 1
    assert expected_jaccard(np.array([[0.75, 0.75, 0.25]], np.float16)) == 1.5 / 2.25
    assert expected_jaccard(np.zeros((2, 2), np.float16)) == 0
    assert expected_jaccard(np.zeros((0, 0), np.float16)) == 0


def test_certain_and_doubtful_masks_in_single_precision():
    assert expected_jaccard(np.array([[0, 1, 1]], np.float32)) == 1
    assert expected_jaccard(np.array([[0.5, 1, 0.5]], np.float32)) == 0.5
    assert expected_jaccard(np.zeros((2, 2), np.float32)) == 0

from __future__ import annotations

import numpy as np

from napari_vos.store.evidence import expected_jaccard


def test_sharp_probabilities_expect_more():
    assert expected_jaccard(np.array([[1, 1, 0]], np.float16)) == 1
    assert expected_jaccard(np.array([[0.75, 0.75, 0.25]], np.float16)) == 1.5 / 2.25
    assert expected_jaccard(np.zeros((2, 2), np.float16)) == 0
    assert expected_jaccard(np.zeros((0, 0), np.float16)) == 0

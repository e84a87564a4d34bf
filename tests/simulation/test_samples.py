from __future__ import annotations

import numpy as np
import pytest

from napari_vos.metrics import evaluate
from napari_vos.simulation import sample


@pytest.mark.slow
def test_the_nuclei_are_many_and_move():
    movie = sample("nuclei")
    assert movie.images.shape[0] == 30
    assert np.unique(movie.labels[0]).size - 1 >= 20
    copied = np.repeat(movie.labels[:1], 30, axis=0)
    assert evaluate(copied, movie.labels, prompts={0: movie.labels[0]}).j <= 0.5

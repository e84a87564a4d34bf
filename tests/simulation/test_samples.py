from __future__ import annotations

import numpy as np
import pytest

from napari_vos.metrics import evaluate
from napari_vos.simulation import sample
from napari_vos.simulation.samples import NAMES


def contrast(movie):
    """How far the mean of the cells lies from that of the background, in its deviations."""
    image, cells = movie.images[0].astype(float), movie.labels[0] > 0
    return abs(image[cells].mean() - image[~cells].mean()) / image[~cells].std()


@pytest.fixture(scope="module", params=NAMES)
def movie(request):
    return request.param, sample(request.param)


def test_a_copied_first_frame_is_not_enough(movie):
    _, movie = movie
    assert len(movie.images) == 30
    first = np.repeat(movie.labels[:1], 30, axis=0)
    assert 0.2 < evaluate(first, movie.labels, prompts={0: movie.labels[0]}).j <= 0.5


def test_the_cells_stay(movie):
    _, movie = movie
    first, last = (set(np.unique(movie.labels[t])) - {0} for t in (0, -1))
    assert len(first & last) >= 0.8 * len(first)
    assert len(movie.parents) <= 6


def test_the_nuclei_are_many_and_clear():
    movie = sample("nuclei")
    assert np.unique(movie.labels[0]).size - 1 >= 20
    assert contrast(movie) > 5
    assert 1 <= len(set(movie.parents.values())) <= 3


def test_unknown_names_are_told():
    with pytest.raises(ValueError, match=r"'cells'.*nuclei, phase, dic"):
        sample("cells")

from __future__ import annotations

import numpy as np
import pytest

from napari_vos.simulation import Modality, random_scenario, simulate


def test_all_modalities_are_drawn():
    rng = np.random.default_rng(0)
    drawn = {random_scenario(rng).modality for _ in range(200)}
    assert drawn == set(Modality)


def test_the_source_decides():
    scenarios = [random_scenario(np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert scenarios[0] == scenarios[1] != scenarios[2]


@pytest.mark.parametrize("modality", list(Modality))
def test_what_was_asked_for_is_kept(modality):
    rng = np.random.default_rng(3)
    scenario = random_scenario(rng, modality=modality, shape=(64, 80), n_frames=3)
    assert (scenario.modality, scenario.shape, scenario.n_frames) == (modality, (64, 80), 3)


@pytest.mark.parametrize("seed", range(6))
def test_any_of_them_can_be_simulated(seed):
    scenario = random_scenario(np.random.default_rng(seed), shape=(96, 96), n_frames=3)
    movie = simulate(scenario, seed=seed)
    assert movie.labels.any()
    assert np.ptp(movie.images) > 0

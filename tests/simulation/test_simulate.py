from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_vos.simulation import Modality, Scenario, simulate
from napari_vos.simulation.cells import advance, make_cell
from napari_vos.simulation.outlines import depth, reach

QUIET = Scenario(
    modality=Modality.FLUORESCENCE,
    shape=(120, 140),
    n_frames=5,
    n_cells=6,
    diameter=24.0,
    division_rate=0.0,
    death_rate=0.0,
    entry_rate=0.0,
    debris=0,
    noise=0.02,
)


def test_shapes_and_types():
    movie = simulate(QUIET, seed=1)
    for stack in (movie.images, movie.labels):
        assert stack.shape == (5, 120, 140)
        assert stack.dtype == np.uint16
    assert movie.scenario == QUIET


def test_the_seed_decides():
    movie, again, other = (simulate(QUIET, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(movie.images, again.images)
    assert np.array_equal(movie.labels, again.labels)
    assert not np.array_equal(movie.images, other.images)


@pytest.mark.parametrize("modality", list(Modality))
def test_every_modality_shows_the_cells(modality):
    movie = simulate(replace(QUIET, modality=modality, texture=0.5), seed=3)
    image, cells = movie.images[0].astype(float), movie.labels[0] > 0
    assert np.ptp(image) > 1000
    # Cells differ from the background in brightness, or in their relief.
    relief = ndimage.generic_gradient_magnitude(image, ndimage.sobel)
    away = ~ndimage.binary_dilation(cells, iterations=5)
    assert relief[cells].mean() > 1.5 * relief[away].mean()


def test_labels_cover_the_bright_cells():
    movie = simulate(replace(QUIET, flicker=0.0, focus_change=0.0), seed=4)
    for image, labels in zip(movie.images, movie.labels, strict=True):
        low, high = np.percentile(image, [5, 99])
        bright = image > (low + high) / 2
        assert (labels[bright] > 0).mean() > 0.95


def test_ids_persist_and_masks_move():
    movie = simulate(replace(QUIET, speed=0.15), seed=5)
    ids = [set(np.unique(frame)) for frame in movie.labels]
    assert all(each == ids[0] for each in ids)
    assert 0 not in movie.parents
    assert (movie.labels[0] != movie.labels[-1]).any()
    for object_id in ids[0] - {0}:
        centers = [ndimage.center_of_mass(frame == object_id) for frame in movie.labels]
        steps = np.linalg.norm(np.diff(centers, axis=0), axis=1)
        assert steps.max() < QUIET.diameter


def test_daughters_have_ids_of_their_own():
    movie = simulate(replace(QUIET, n_frames=10, division_rate=0.2), seed=6)
    assert movie.parents
    for daughter, mother in movie.parents.items():
        born = np.flatnonzero((movie.labels == daughter).any(axis=(1, 2)))
        alive = np.flatnonzero((movie.labels == mother).any(axis=(1, 2)))
        assert daughter != mother
        assert born.size == 0 or alive.max() < born.min()
    mothers = list(movie.parents.values())
    assert all(mothers.count(mother) == 2 for mother in mothers)


def test_the_dead_vanish():
    movie = simulate(replace(QUIET, n_frames=10, death_rate=0.3), seed=7)
    assert len(np.unique(movie.labels[-1])) < len(np.unique(movie.labels[0]))
    assert not movie.parents


def test_newcomers_enter():
    movie = simulate(replace(QUIET, n_frames=10, entry_rate=1.0, speed=0.3), seed=8)
    assert movie.labels[-1].max() > movie.labels[0].max()
    assert not movie.parents


def test_nothing_of_a_cell_lies_beyond_its_reach():
    """Protrusions may bend, and widen outwards."""
    rng = np.random.default_rng(5)
    scenario = replace(QUIET, arms=3.0, elongation=4.0, reshaping_rate=0.1, deformation=0.6)
    y, x = np.mgrid[-150:151, -150:151].astype(np.float32)
    fans = 0
    for _ in range(30):
        cell = make_cell(rng, scenario, 1, np.zeros(2))
        for _ in range(20):
            advance(rng, scenario, cell)
        inside = depth(cell, scenario, y, x) > 0
        assert inside[150, 150]
        assert not inside[np.maximum(abs(y), abs(x)) > reach(cell)].any()
        fans += int((cell.arms[:, 4] < 0).sum())
    assert fans


def test_protrusions_are_drawn_in_and_come_out():
    rng = np.random.default_rng(5)
    scenario = replace(QUIET, arms=3.0, reshaping_rate=1.0)
    cell = make_cell(rng, scenario, 1, np.zeros(2))
    counts = set()
    for _ in range(20):
        advance(rng, scenario, cell)
        counts.add(len(cell.arms))
    assert len(counts) > 1
    assert max(counts) <= 5

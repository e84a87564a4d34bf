"""Simulated microscopy movies with exact masks and lineage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_vos.simulation.optics import Scenery, form_image, lay_out
from napari_vos.simulation.population import Population

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_vos.simulation.scenario import Scenario


@dataclass(frozen=True, eq=False)
class Simulation:
    """A movie and the truth about it.

    Attributes
    ----------
    images
        (T, Y, X) uint16.
    labels
        (T, Y, X) uint16; 0 is background, a cell keeps its id, daughters have new ones.
    parents
        Id of the mother by id of the daughter.
    scenario
        What was simulated.
    """

    images: NDArray[np.uint16]
    labels: NDArray[np.uint16]
    parents: Mapping[int, int]
    scenario: Scenario


def simulate(scenario: Scenario, *, seed: int) -> Simulation:
    """Simulate one movie.

    Parameters
    ----------
    scenario
        What to simulate.
    seed
        The same scenario and seed give the same movie.
    """
    rng = np.random.default_rng(seed)
    population = Population.start(scenario, rng)
    scenery = Scenery.draw(scenario, rng)
    images = np.empty((scenario.n_frames, *scenario.shape), np.uint16)
    labels = np.empty_like(images)
    gain = rng.uniform(2000, 30000)
    offset = rng.uniform(0, 2000)
    focus = 0.0
    for t in range(scenario.n_frames):
        if t:
            population.step()
        canvas = lay_out(population.cells, scenario)
        elapsed = t / max(scenario.n_frames - 1, 1)
        picture = form_image(
            canvas, scenario, scenery, float(np.exp(scenario.contrast_change * elapsed))
        )
        focus = 0.7 * focus + scenario.focus_change * rng.standard_normal()
        picture = ndimage.gaussian_filter(picture, scenario.blur * np.exp(np.clip(focus, -1, 1)))
        grain = ndimage.gaussian_filter(rng.standard_normal(scenario.shape), 0.4)
        brightness = np.sqrt(np.clip(picture, 0, None) + 0.1)
        picture = picture + scenario.noise * grain * brightness
        picture = picture * (1 + scenario.flicker * rng.standard_normal())
        images[t] = np.clip(offset + gain * picture, 0, 65535)
        labels[t] = canvas.labels
    return Simulation(images, labels, dict(population.parents), scenario)

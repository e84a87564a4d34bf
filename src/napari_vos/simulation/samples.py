"""Movies to try things on, always the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_vos.simulation.scenario import Modality, Scenario
from napari_vos.simulation.simulate import simulate

if TYPE_CHECKING:
    from napari_vos.simulation.simulate import Simulation

NUCLEI = Scenario(
    modality=Modality.FLUORESCENCE,
    shape=(360, 360),
    n_frames=30,
    n_cells=26,
    diameter=30.0,
    speed=0.08,
    persistence=0.8,
    drift=(0.35, 0.2),
    deformation=0.12,
    clustering=0.2,
    division_rate=0.002,
    death_rate=0.0,
    contrast_change=-0.3,
)
"""Wandering nuclei with a few divisions, in fading fluorescence."""

_SEEDS = {"nuclei": 20260}
_SCENARIOS = {"nuclei": NUCLEI}

NAMES = tuple(_SCENARIOS)
"""The names of the movies."""


def sample(name: str = "nuclei") -> Simulation:
    """Return a movie by its name; it takes a few seconds to simulate.

    Parameters
    ----------
    name
        One of `NAMES`.

    Raises
    ------
    KeyError
        If there is no such movie.
    """
    return simulate(_SCENARIOS[name], seed=_SEEDS[name])

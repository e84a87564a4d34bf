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
    division_frames=2,
    condensation=0.8,
    death_rate=0.0,
    contrast_change=-0.3,
)
"""Wandering nuclei with a few divisions, in fading fluorescence."""

PHASE = Scenario(
    modality=Modality.PHASE,
    shape=(320, 320),
    n_frames=30,
    n_cells=22,
    diameter=34.0,
    elongation=1.7,
    irregularity=0.1,
    arms=0.6,
    clustering=0.15,
    speed=0.07,
    persistence=0.8,
    deformation=0.2,
    drift=(-0.3, 0.25),
    division_rate=0.002,
    death_rate=0.0,
    entry_rate=0.03,
    texture=0.35,
    granules=10,
    background=0.2,
    halo=0.7,
    noise=0.05,
)
"""Spread cells, some of them branched, dark with bright halos; some enter."""

DIC = Scenario(
    modality=Modality.DIC,
    shape=(320, 320),
    n_frames=30,
    n_cells=12,
    diameter=58.0,
    elongation=1.4,
    irregularity=0.1,
    clustering=0.2,
    speed=0.05,
    persistence=0.8,
    deformation=0.2,
    drift=(0.6, -0.5),
    division_rate=0.002,
    death_rate=0.0,
    entry_rate=0.03,
    texture=0.6,
    granules=20,
    background=0.2,
    noise=0.04,
)
"""Large granular cells in slanting light."""

_SAMPLES = {"nuclei": (NUCLEI, 20260), "phase": (PHASE, 20262), "dic": (DIC, 20262)}

NAMES = tuple(_SAMPLES)
"""The names of the movies."""


def sample(name: str = "nuclei") -> Simulation:
    """Return a movie by its name; it takes a few seconds to simulate.

    Parameters
    ----------
    name
        "nuclei" (fluorescence), "phase" (phase contrast) or "dic" (differential
        interference contrast): 30 frames each.

    Raises
    ------
    ValueError
        If there is no such movie.
    """
    if name not in _SAMPLES:
        raise ValueError(f"There is no sample '{name}'; choose one of {', '.join(NAMES)}.")
    scenario, seed = _SAMPLES[name]
    return simulate(scenario, seed=seed)

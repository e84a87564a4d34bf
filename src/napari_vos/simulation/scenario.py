"""What a simulated movie looks like, as numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np


class Modality(StrEnum):
    """How the picture is formed."""

    FLUORESCENCE = "fluorescence"
    PHASE = "phase"
    DIC = "dic"
    MEMBRANE = "membrane"
    BRIGHT_FIELD = "bright_field"


@dataclass(frozen=True)
class Scenario:
    """Everything that is the same through one movie.

    Lengths are in pixels, or relative to the cell diameter where it says so;
    rates are per frame.

    Attributes
    ----------
    modality
        How the picture is formed.
    shape
        (Y, X) of the frames.
    n_frames, n_cells
        Length, and number of cells at the start.
    diameter, diameter_spread
        Of a cell, and its relative standard deviation between cells.
    elongation
        Ratio of the long to the short axis of a body, 1 or more.
    irregularity
        Relative amplitude of the outline's lobes.
    arms
        Mean number of protrusions a cell has.
    clustering
        0 for cells scattered evenly, 1 for cells packed into few islands.
    speed, persistence
        Mean step relative to the diameter, and how much of a step is kept
        for the next one, in [0, 1].
    deformation
        How fast the outline changes, in [0, 1]; at 1 each frame has a new one.
    turning
        Standard deviation of the rotation in radians.
    reshaping_rate
        Probability that one cell takes another outline at once.
    jump_rate
        Probability that one cell leaps by up to a diameter.
    drift, stage_jump
        Steady movement of the whole field, and size of its rare leaps.
    division_rate, death_rate, entry_rate
        Probability that a cell divides or vanishes, and that one enters.
    division_frames, condensation
        Frames a cell takes to divide, and how far it shrinks to a bright bar
        meanwhile, as chromatin does (1), or stays a round body (0).
    brightness_spread
        Ratio of the dimmest to the brightest cell, in (0, 1].
    texture, texture_size, granules
        Contrast inside a cell, its size relative to the diameter, and the
        number of bright or dark grains.
    coarseness
        Share of the texture that is coarser than grain, in [0, 1].
    patchiness
        How much the texture turns into few bright patches on a dim ground; 0 for an even one.
    texture_change
        How fast the texture changes, in [0, 1].
    core, core_contrast, core_gathers
        Radius of an inner body (a nucleus, a cloud of grains) relative to the
        cell's, 0 for none; how much brighter it is, and its seam; how much of
        the texture is gathered in it, in [0, 1].
    spikes
        Mean number of thin threads that stick out of a cell and are no part of it.
    gradient
        How much a cell fades from its body to its tips, in [0, 1].
    dome
        Height relative to the radius at which a body levels off: small for a
        flat one with a steep rim, 1 for a dome; in pictures without a label.
    halo
        Strength of the bright or dark seam outside the cells; its width in bright field.
    shade
        How much darker than the background a body is as a whole, in bright field and DIC.
    background, background_texture
        Grey level between the cells, and its unevenness.
    contrast_change
        Natural logarithm by which the cells' signal changes over the movie.
    flicker
        Relative change of the gain from frame to frame.
    blur, focus_change
        Standard deviation of the optical blur, and how much it varies.
    noise
        Standard deviation of the noise relative to the signal.
    debris, fibres
        Number of specks and of thin threads that are no cells.
    """

    modality: Modality
    shape: tuple[int, int] = (320, 320)
    n_frames: int = 12
    n_cells: int = 16
    diameter: float = 32.0
    diameter_spread: float = 0.15
    elongation: float = 1.3
    irregularity: float = 0.08
    arms: float = 0.0
    clustering: float = 0.3
    speed: float = 0.1
    persistence: float = 0.6
    deformation: float = 0.15
    turning: float = 0.08
    reshaping_rate: float = 0.0
    jump_rate: float = 0.0
    drift: tuple[float, float] = (0.0, 0.0)
    stage_jump: float = 0.0
    division_rate: float = 0.01
    death_rate: float = 0.003
    entry_rate: float = 0.05
    division_frames: int = 3
    condensation: float = 0.0
    brightness_spread: float = 0.5
    texture: float = 0.2
    texture_size: float = 0.15
    granules: int = 0
    coarseness: float = 1.0
    patchiness: float = 0.0
    texture_change: float = 0.1
    core: float = 0.0
    core_contrast: float = 0.0
    core_gathers: float = 0.0
    spikes: float = 0.0
    gradient: float = 0.0
    dome: float = 0.3
    halo: float = 0.5
    shade: float = 0.0
    background: float = 0.2
    background_texture: float = 0.05
    contrast_change: float = 0.0
    flicker: float = 0.02
    blur: float = 1.0
    focus_change: float = 0.2
    noise: float = 0.05
    debris: int = 3
    fibres: int = 0


def random_scenario(
    rng: np.random.Generator,
    *,
    modality: Modality | None = None,
    shape: tuple[int, int] = (320, 320),
    n_frames: int = 12,
) -> Scenario:
    """Draw a movie a microscopist could meet, from easy to hard.

    Parameters
    ----------
    rng
        Source of all choices.
    modality
        Drawn as well if None.
    shape, n_frames
        Of the movie.
    """
    if modality is None:
        modality = Modality(rng.choice(list(Modality), p=[0.36, 0.19, 0.2, 0.07, 0.18]))
    smallest, largest = (24, 120) if modality in (Modality.DIC, Modality.BRIGHT_FIELD) else (13, 92)
    diameter = float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))
    room = shape[0] * shape[1] / diameter**2
    fill = rng.uniform(0.12, 0.9)
    # A tenth of all movies is extreme in motion, so that jumps are seen at all.
    lively = rng.random() < 0.3
    scenario = Scenario(
        modality=modality,
        shape=shape,
        n_frames=n_frames,
        n_cells=int(np.clip(fill * room, 4, 60)),
        diameter=diameter,
        diameter_spread=rng.uniform(0.05, 0.3),
        elongation=1 + rng.gamma(1.2, 0.35),
        irregularity=rng.uniform(0.02, 0.16),
        arms=0.0,
        clustering=rng.random(),
        speed=rng.uniform(0.15, 0.5) if lively else rng.gamma(1.5, 0.05),
        persistence=rng.random(),
        deformation=rng.uniform(0.05, 0.5),
        turning=rng.gamma(1.0, 0.1),
        jump_rate=rng.choice([0.0, 0.02, 0.05]),
        drift=tuple(rng.normal(0, 0.04 * diameter, 2)),
        stage_jump=rng.choice([0.0, 0.0, 0.3, 0.6]) * diameter,
        division_rate=rng.choice([0.0, 0.02, 0.05]),
        death_rate=rng.choice([0.0, 0.005, 0.015]),
        entry_rate=rng.uniform(0, 0.3),
        division_frames=int(rng.integers(1, 5)),
        brightness_spread=rng.uniform(0.08, 1.0),
        texture=rng.uniform(0.05, 0.6),
        texture_size=float(np.exp(rng.uniform(np.log(0.05), np.log(0.3)))),
        granules=int(rng.choice([0, 0, 5, 20])),
        texture_change=rng.uniform(0.0, 0.5),
        gradient=rng.choice([0.0, 0.0, 0.5]),
        halo=rng.uniform(0.0, 1.0),
        background=rng.uniform(0.05, 0.5),
        background_texture=rng.uniform(0.0, 0.15),
        contrast_change=float(np.clip(rng.choice([0, 0, 0.8, 1.8]) * rng.normal(), -1.8, 2.8)),
        flicker=rng.gamma(1.0, 0.04),
        blur=rng.uniform(0.5, 1.8) * np.sqrt(diameter / 32),
        focus_change=rng.uniform(0, 0.5),
        noise=float(np.exp(rng.uniform(np.log(0.01), np.log(0.3)))),
        debris=int(rng.integers(0, 8)),
    )
    if modality is Modality.FLUORESCENCE:
        return _shape_nuclei(rng, scenario) if rng.random() < 0.6 else _shape_spread(rng, scenario)
    if rng.random() < 0.4:
        scenario = _shape_spread(rng, scenario)
    if modality is not Modality.MEMBRANE:
        scenario = replace(
            scenario,
            texture=rng.uniform(0.2, 1.0),
            coarseness=rng.choice([1.0, 0.2, 0.2]) * rng.random(),
            granules=int(rng.choice([0, 10, 40, 150, 400])),
            shade=rng.normal(0, 0.06),
            blur=rng.uniform(0.4, 1.5),
            fibres=int(rng.choice([0, 0, 10, 40])),
            dome=float(np.exp(rng.uniform(np.log(0.08), np.log(1.0)))),
            reshaping_rate=rng.choice([0.0, 0.05, 0.15]),
            core=rng.choice([0.0, 1.0, 1.0]) * rng.uniform(0.3, 0.75),
            core_contrast=rng.normal(0, 0.5),
            core_gathers=rng.uniform(0.0, 1.0),
            spikes=rng.choice([0.0, 0.0, 3.0, 10.0]),
        )
    return scenario


def _shape_nuclei(rng: np.random.Generator, scenario: Scenario) -> Scenario:
    """Compact bodies, some of them with a few bright patches, that condense to divide."""
    return replace(
        scenario,
        condensation=rng.choice([0.0, 1.0, 1.0]) * rng.uniform(0.3, 1.0),
        patchiness=rng.choice([0.0, 0.0, 1.0]) * rng.uniform(0.3, 1.2),
        core=rng.choice([0.0, 0.0, 0.0, 1.0]) * rng.uniform(0.3, 0.7),
        core_contrast=rng.uniform(-0.7, 1.5),
    )


def _shape_spread(rng: np.random.Generator, scenario: Scenario) -> Scenario:
    """Spindles, ribbons and branched cells, as in mesenchymal cultures."""
    return replace(
        scenario,
        arms=rng.uniform(0.5, 4.0),
        elongation=1 + rng.gamma(2.0, 1.2),
        irregularity=rng.uniform(0.02, 0.25),
        deformation=rng.uniform(0.1, 0.8),
        gradient=rng.uniform(0.0, 0.9),
        reshaping_rate=rng.choice([0.0, 0.05, 0.15, 0.3]),
        core=rng.choice([0.0, 1.0]) * rng.uniform(0.3, 0.8),
        core_contrast=rng.uniform(0.0, 2.0),
        spikes=rng.choice([0.0, 0.0, 4.0]),
        n_cells=max(4, int(scenario.n_cells * rng.uniform(0.2, 1.0))),
    )

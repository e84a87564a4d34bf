"""Cells as bodies that move, deform, divide and die."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.simulation.scenario import Scenario

LOBES = 5


@dataclass
class Cell:
    """One cell at one moment.

    Lengths are in pixels, angles in radians; `center` is (y, x).
    """

    object_id: int
    center: NDArray[np.float64]
    velocity: NDArray[np.float64]
    radius: float
    elongation: float
    angle: float
    lobes: NDArray[np.float64]
    arms: NDArray[np.float64]
    brightness: float
    texture: NDArray[np.float32]
    next_texture: NDArray[np.float32]
    core: NDArray[np.float64]
    """Centre (along, across) of the inner body relative to the radius, in the cell's own axes."""
    spikes: NDArray[np.float64]
    """(n, 2) angle, and length relative to the radius, of thin threads that stick out."""
    curve: float = 0.0
    """How much the body is bent, relative to its length."""
    parent: int = 0
    phase: float = 0.0
    dividing: int = 0
    dying: int = 0
    rounding: float = 0.0
    """How far the cell has rounded up to divide, or not yet spread since, in [0, 1]."""

    @property
    def vigour(self) -> float:
        """1 for a living cell, falling to 0 while it dies."""
        return max(0.0, 1.0 - self.dying / 4)


def make_texture(rng: np.random.Generator, scenario: Scenario) -> NDArray[np.float32]:
    """Return (S, S) relative brightness of a cell's inside: mean 0, about 1 at most."""
    side = int(np.clip(1.6 * scenario.diameter, 48, 144))
    sigma = max(0.8, scenario.texture_size * side / 2)
    coarse = ndimage.gaussian_filter(rng.standard_normal((side, side)), sigma, mode="wrap")
    fine = ndimage.gaussian_filter(rng.standard_normal((side, side)), 1.0, mode="wrap")
    texture = scenario.coarseness * coarse / coarse.std() + 0.5 * fine / fine.std()
    if scenario.granules:
        rows, columns = rng.integers(0, side, (2, scenario.granules))
        grains = np.zeros((side, side))
        grains[rows, columns] = rng.choice([-1.0, 1.0], p=[0.4, 0.6]) * rng.uniform(
            0.5, 1.5, scenario.granules
        )
        grains = ndimage.gaussian_filter(grains, rng.uniform(0.8, 1.8), mode="wrap")
        texture = texture + 3 * grains / max(np.abs(grains).max(), 1e-6)
    relative: NDArray[np.float32] = np.clip(texture / 2, -1.5, 1.5).astype(np.float32)
    return relative


def make_cell(
    rng: np.random.Generator, scenario: Scenario, object_id: int, center: NDArray[np.float64]
) -> Cell:
    """Draw a new cell at `center`."""
    radius = scenario.diameter / 2 * max(0.5, 1 + scenario.diameter_spread * rng.standard_normal())
    arms = _make_arms(rng, scenario)
    return Cell(
        object_id=object_id,
        center=np.asarray(center, float),
        velocity=rng.normal(0, scenario.speed * scenario.diameter / np.sqrt(2), 2),
        radius=radius,
        elongation=max(1.0, 1 + (scenario.elongation - 1) * rng.uniform(0.5, 1.5)),
        angle=rng.uniform(0, 2 * np.pi),
        lobes=rng.standard_normal((LOBES, 2)),
        arms=arms,
        brightness=float(np.exp(rng.uniform(np.log(scenario.brightness_spread), 0))),
        texture=make_texture(rng, scenario),
        next_texture=make_texture(rng, scenario),
        core=rng.normal(0, 0.12, 2) if scenario.core else np.zeros(2),
        spikes=_make_spikes(rng, scenario),
        curve=rng.normal(0, 0.3),
    )


def _make_arms(rng: np.random.Generator, scenario: Scenario) -> NDArray[np.float64]:
    """Draw protrusions, from threads to fans that widen outwards; see `outlines.Arm`."""
    count = min(5, rng.poisson(scenario.arms))
    angles = rng.choice([0.0, np.pi], count) + rng.normal(0, 0.6, count)
    if rng.random() < 0.4:
        angles = rng.uniform(0, 2 * np.pi, count)
    return np.stack(
        [
            angles,
            rng.uniform(1.2, 3.2, count),
            rng.uniform(0.12, 0.45, count),
            rng.normal(0, 0.35, count),
            rng.uniform(-1.6, 0.9, count),
        ],
        axis=1,
    )


def _make_spikes(rng: np.random.Generator, scenario: Scenario) -> NDArray[np.float64]:
    count = rng.poisson(scenario.spikes)
    return np.stack([rng.uniform(0, 2 * np.pi, count), rng.uniform(1.1, 1.6, count)], axis=1)


def advance(rng: np.random.Generator, scenario: Scenario, cell: Cell) -> None:
    """Move and deform one cell by one frame, in place."""
    step = scenario.speed * scenario.diameter / np.sqrt(2)
    kept = scenario.persistence
    cell.velocity = kept * cell.velocity + np.sqrt(1 - kept**2) * rng.normal(0, step, 2)
    cell.center = cell.center + cell.velocity
    if rng.random() < scenario.jump_rate:
        cell.center = cell.center + rng.uniform(-0.7, 0.7, 2) * scenario.diameter
    change = scenario.deformation
    if scenario.reshaping_rate and rng.random() < scenario.reshaping_rate:
        change = 0.8
        cell.angle += rng.normal(0, 0.4)
        cell.radius *= np.exp(rng.normal(0, 0.1))
        cell.spikes = _make_spikes(rng, scenario)
        if scenario.arms:
            # Some are drawn in, and others come out at once.
            stay = cell.arms[rng.random(len(cell.arms)) < 0.5]
            cell.arms = np.concatenate([stay, _make_arms(rng, scenario)])[:5]
    if scenario.core:
        cell.core = 0.95 * cell.core + rng.normal(0, 0.04, 2)
    cell.angle += rng.normal(0, scenario.turning)
    cell.lobes = np.sqrt(1 - change**2) * cell.lobes + change * rng.standard_normal((LOBES, 2))
    cell.elongation = max(1.0, cell.elongation * np.exp(rng.normal(0, 0.25 * change)))
    cell.elongation = min(cell.elongation, 9.0)
    cell.curve = np.sqrt(1 - change**2) * cell.curve + change * rng.normal(0, 0.3)
    cell.radius *= np.exp(rng.normal(0, 0.08 * change))
    if len(cell.arms):
        cell.arms[:, 0] += rng.normal(0, 0.35 * change, len(cell.arms))
        cell.arms[:, 1] = np.clip(
            cell.arms[:, 1] * np.exp(rng.normal(0, 0.5 * change, len(cell.arms))), 0.5, 3.8
        )
        cell.arms[:, 3] += rng.normal(0, 0.25 * change, len(cell.arms))
    cell.brightness *= float(np.exp(rng.normal(0, 0.05)))
    cell.phase += scenario.texture_change
    if cell.phase >= 1:
        cell.phase -= 1
        cell.texture, cell.next_texture = cell.next_texture, make_texture(rng, scenario)
    if cell.dividing:
        cell.dividing += 1
        cell.rounding = min(cell.dividing / scenario.division_frames, 1.0)
        cell.elongation = 1 + (cell.elongation - 1) * 0.4
        if cell.rounding == 1 and not scenario.condensation:
            cell.elongation = 1.6
    else:
        cell.rounding = max(0.0, cell.rounding - 0.4)
    if cell.dying:
        cell.dying += 1
        cell.radius *= 0.88


def divide(
    rng: np.random.Generator, scenario: Scenario, cell: Cell, first_id: int
) -> tuple[Cell, Cell]:
    """Return two daughters with new ids, side by side.

    A round cell divides along its long axis; the bar of condensed chromatin
    splits into two parallel ones.
    """
    axis = cell.angle + (np.pi / 2 if scenario.condensation else 0.0)
    apart = cell.radius * rng.uniform(0.6, 0.95) * (1 - 0.35 * scenario.condensation)
    along = np.array([np.sin(axis), np.cos(axis)]) * apart
    daughters = []
    for index, side in enumerate((-1.0, 1.0)):
        daughters.append(
            Cell(
                object_id=first_id + index,
                center=cell.center + side * along,
                velocity=cell.velocity * 0.3 + side * along * 0.15,
                radius=cell.radius * rng.uniform(0.68, 0.8),
                elongation=rng.uniform(1.1, 1.7),
                angle=axis + np.pi / 2 + rng.normal(0, 0.3),
                lobes=rng.standard_normal((LOBES, 2)),
                arms=cell.arms * np.array([1, 0.6, 1, 1, 1]),
                brightness=cell.brightness,
                texture=np.roll(cell.texture, index * 20, axis=0),
                next_texture=cell.next_texture,
                core=np.zeros(2),
                spikes=cell.spikes,
                parent=cell.object_id,
                rounding=1.0,
            )
        )
    return daughters[0], daughters[1]

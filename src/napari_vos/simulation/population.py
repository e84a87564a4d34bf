"""All cells of a movie through time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_vos.simulation.cells import Cell, advance, divide, make_cell

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.simulation.scenario import Scenario


@dataclass
class Population:
    """The living cells and what became of the others."""

    scenario: Scenario
    rng: np.random.Generator
    cells: list[Cell] = field(default_factory=list)
    next_id: int = 1
    parents: dict[int, int] = field(default_factory=dict)

    @classmethod
    def start(cls, scenario: Scenario, rng: np.random.Generator) -> Population:
        """Place the first cells, scattered or in islands, and let them settle."""
        population = cls(scenario, rng)
        height, width = scenario.shape
        n_islands = max(1, round(scenario.n_cells * (1 - scenario.clustering) / 3) + 1)
        islands = rng.uniform(0, 1, (n_islands, 2)) * (height, width)
        for _ in range(scenario.n_cells):
            if rng.random() < scenario.clustering:
                spread = scenario.diameter * np.sqrt(scenario.n_cells / n_islands) * 0.5
                center = islands[rng.integers(n_islands)] + rng.normal(0, spread, 2)
            else:
                center = rng.uniform(0, 1, 2) * (height, width)
            population.add(np.mod(center, (height, width)))
        for _ in range(25):
            population.repel()
        return population

    def add(self, center: NDArray[np.float64]) -> Cell:
        """Add a cell with a fresh id."""
        cell = make_cell(self.rng, self.scenario, self.next_id, center)
        self.next_id += 1
        self.cells.append(cell)
        return cell

    def repel(self) -> None:
        """Push overlapping cells apart by a part of their overlap."""
        if len(self.cells) < 2:
            return
        centers = np.array([cell.center for cell in self.cells])
        radii = np.array([cell.radius * cell.elongation**0.25 for cell in self.cells])
        offset = centers[:, None] - centers[None]
        distance = np.hypot(offset[..., 0], offset[..., 1]) + 1e-6
        overlap = np.clip(0.92 * (radii[:, None] + radii[None]) - distance, 0, None)
        np.fill_diagonal(overlap, 0)
        push = (offset / distance[..., None] * overlap[..., None] * 0.3).sum(1)
        for cell, movement in zip(self.cells, push, strict=True):
            cell.center = cell.center + movement

    def step(self) -> None:
        """Go on by one frame."""
        scenario, rng = self.scenario, self.rng
        shift = (
            np.asarray(scenario.drift)
            + (rng.random() < 0.08) * rng.normal(0, 1, 2) * scenario.stage_jump
        )
        for cell in list(self.cells):
            advance(rng, scenario, cell)
            cell.center = cell.center + shift
            if cell.dividing > scenario.division_frames:
                self.cells.remove(cell)
                for daughter in divide(rng, scenario, cell, self.next_id):
                    self.cells.append(daughter)
                    self.parents[daughter.object_id] = cell.object_id
                    self.next_id += 1
            elif cell.vigour == 0:
                self.cells.remove(cell)
            elif not cell.dividing and not cell.dying:
                cell.dividing = int(rng.random() < scenario.division_rate)
                cell.dying = int(not cell.dividing and rng.random() < scenario.death_rate)
        if rng.random() < scenario.entry_rate:
            self._enter()
        for _ in range(3):
            self.repel()

    def _enter(self) -> None:
        height, width = self.scenario.shape
        side = self.rng.integers(4)
        place = self.rng.random()
        edge = self.scenario.diameter * 0.3
        center = [
            (-edge, place * width),
            (height + edge, place * width),
            (place * height, -edge),
            (place * height, width + edge),
        ][side]
        cell = self.add(np.array(center))
        inward = np.array([height / 2, width / 2]) - cell.center
        cell.velocity = (
            inward / np.linalg.norm(inward) * self.scenario.diameter * max(self.scenario.speed, 0.1)
        )

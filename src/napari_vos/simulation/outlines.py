"""The shape of a cell: its outline, its inner body, its threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from napari_vos.simulation.cells import LOBES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.simulation.cells import Cell
    from napari_vos.simulation.scenario import Scenario


class Arm(NamedTuple):
    """A protrusion, in units of the cell's radius; with a negative taper a fan, widest outside."""

    angle: float
    length: float
    width: float
    bend: float
    taper: float


def reach(cell: Cell) -> float:
    """Distance from the centre beyond which there is nothing of the cell."""
    stretch = float(np.sqrt(cell.elongation))
    farthest = stretch * (2 if len(cell.spikes) else 1.5)
    if len(cell.arms):
        _, length, width, bend, taper = cell.arms.T
        beyond = np.maximum(0.6, width * np.maximum(1, 1 - taper))
        farthest = max(farthest, float((np.hypot(length, bend) + beyond).max()))
    aside = abs(cell.curve) * farthest**2 / stretch if cell.elongation > 2 else 0.0
    return cell.radius * float(np.hypot(farthest, aside)) + 3


def depth(
    cell: Cell, scenario: Scenario, y: NDArray[np.float32], x: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return how deep each point lies inside the cell, in pixels; negative outside.

    Parameters
    ----------
    cell, scenario
        Whose outline.
    y, x
        (h, w) float32 coordinates relative to the centre.
    """
    calm = 1 - cell.rounding
    cosine, sine = np.cos(cell.angle), np.sin(cell.angle)
    along, across = x * cosine + y * sine, y * cosine - x * sine
    condensed = scenario.condensation * cell.rounding
    stretch = np.sqrt(cell.elongation * (1 + condensed))
    if cell.elongation > 2:
        across = across - cell.curve * along**2 / (cell.radius * stretch)
    distance = np.hypot(along / stretch, across * stretch)
    theta = np.arctan2(across * stretch, along / stretch)
    # Lobes shape the rim; at the centre all angles meet, and they would leave a crease there.
    near_rim = np.clip(2 * distance / cell.radius, 0, 1)
    outline = np.full_like(x, cell.radius * (1 - 0.12 * cell.rounding - 0.2 * condensed))
    for k in range(LOBES):
        amplitude = calm * scenario.irregularity * cell.radius / (1 + 0.5 * k)
        a, b = cell.lobes[k]
        outline = outline + near_rim * amplitude * (
            a * np.cos((k + 2) * theta) + b * np.sin((k + 2) * theta)
        )
    inside = (outline - distance) / (0.5 * (stretch + 1))
    if cell.rounding < 0.6:
        for angle, length, width, bend, taper in cell.arms:
            arm = Arm(angle, length * (1 - cell.rounding), width, bend, taper)
            inside = np.maximum(inside, _arm_depth(cell, along, across, arm))
    result: NDArray[np.float32] = inside.astype(np.float32)
    return result


def _arm_depth(
    cell: Cell, along: NDArray[np.float32], across: NDArray[np.float32], arm: Arm
) -> NDArray[np.float32]:
    cosine, sine = np.cos(arm.angle), np.sin(arm.angle)
    forward = (along * cosine + across * sine) / cell.radius
    aside = (across * cosine - along * sine) / cell.radius
    position = np.clip(forward / arm.length, 0, 1)
    aside = aside - arm.bend * position**2
    half_width = np.maximum(0.6 * (1 - position) ** 2, arm.width * (1 - arm.taper * position))
    beyond = np.maximum(forward - arm.length, 0) + np.maximum(-forward, 0)
    result: NDArray[np.float32] = (half_width - np.hypot(aside, beyond)) * cell.radius
    return result


def core_at(
    cell: Cell, scenario: Scenario, y: NDArray[np.float32], x: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return how far each point lies inside the inner body: 1 inside, 0 outside, soft between.

    The core keeps its shape while the outline around it changes.
    """
    cosine, sine = np.cos(cell.angle), np.sin(cell.angle)
    along = x * cosine + y * sine - cell.core[0] * cell.radius
    across = y * cosine - x * sine - cell.core[1] * cell.radius
    stretch = min(cell.elongation, 2.0) ** 0.25
    beyond = np.hypot(along / stretch, across * stretch) - scenario.core * cell.radius
    softness = max(0.8, 0.04 * cell.radius)
    result: NDArray[np.float32] = (1 / (1 + np.exp(np.clip(beyond / softness, -30, 30)))).astype(
        np.float32
    )
    return result


def spikes_at(cell: Cell, y: NDArray[np.float32], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return where threads of a pixel's width run from the centre outwards: 1 there, else 0."""
    result = np.zeros_like(y)
    for angle, length in cell.spikes:
        direction = angle + cell.angle
        forward = x * np.cos(direction) + y * np.sin(direction)
        aside = y * np.cos(direction) - x * np.sin(direction)
        reaches = (forward > 0) & (forward < length * cell.radius * np.sqrt(cell.elongation))
        result[reaches & (np.abs(aside) < 0.8)] = 1
    return result


def texture_at(cell: Cell, y: NDArray[np.float32], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sample the texture, which moves and turns with the cell, at points relative to its centre."""
    cosine, sine = np.cos(cell.angle), np.sin(cell.angle)
    side = len(cell.texture)
    scale = side / (3.2 * cell.radius)
    along, across = (x * cosine + y * sine) * scale, (y * cosine - x * sine) * scale
    mixed = (1 - cell.phase) * cell.texture + cell.phase * cell.next_texture
    sampled: NDArray[np.float32] = ndimage.map_coordinates(
        mixed, [across + side / 2, along + side / 2], order=1, mode="grid-wrap"
    )
    return sampled

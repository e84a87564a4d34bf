"""From cells to a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_vos.simulation.outlines import core_at, depth, reach, spikes_at, texture_at
from napari_vos.simulation.scenario import Modality

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_vos.simulation.cells import Cell
    from napari_vos.simulation.scenario import Scenario


@dataclass(frozen=True, eq=False)
class Canvas:
    """What lies where on one frame; all (Y, X).

    Attributes
    ----------
    labels
        uint16 id of the cell that owns the pixel; 0 is background.
    depth
        float32 distance to the outline in pixels; 0 outside the cells.
    texture
        float32 relative brightness inside the cells.
    brightness
        float32 brightness of the owning cell; 0 outside.
    rounding
        float32, 1 where the owning cell is round to divide.
    core
        float32, 1 inside the owning cell's inner body, soft at its rim.
    spikes
        float32, 1 where a cell's threads stick out of it.
    """

    labels: NDArray[np.uint16]
    depth: NDArray[np.float32]
    texture: NDArray[np.float32]
    brightness: NDArray[np.float32]
    rounding: NDArray[np.float32]
    core: NDArray[np.float32]
    spikes: NDArray[np.float32]


def lay_out(cells: Sequence[Cell], scenario: Scenario) -> Canvas:
    """Give each pixel to the cell in which it lies deepest."""
    shape = scenario.shape
    canvas = Canvas(np.zeros(shape, np.uint16), *(np.zeros(shape, np.float32) for _ in range(6)))
    for cell in cells:
        extent = reach(cell)
        top, left = np.maximum(np.floor(cell.center - extent).astype(int), 0)
        bottom, right = np.minimum(np.ceil(cell.center + extent).astype(int) + 1, shape)
        if top >= bottom or left >= right:
            continue
        window = slice(top, bottom), slice(left, right)
        y, x = np.meshgrid(
            np.arange(top, bottom, dtype=np.float32) - np.float32(cell.center[0]),
            np.arange(left, right, dtype=np.float32) - np.float32(cell.center[1]),
            indexing="ij",
        )
        inside = depth(cell, scenario, y, x)
        owned = inside > canvas.depth[window]
        if not owned.any():
            continue
        far = np.hypot(y, x) / (cell.radius * 2.2)
        fade = 1 - scenario.gradient * np.clip(far, 0, 1)
        canvas.labels[window][owned] = cell.object_id
        canvas.depth[window][owned] = inside[owned]
        canvas.texture[window][owned] = texture_at(cell, y, x)[owned]
        canvas.brightness[window][owned] = (cell.brightness * cell.vigour * fade)[owned]
        canvas.rounding[window][owned] = cell.rounding
        if scenario.core:
            canvas.core[window][owned] = core_at(cell, scenario, y, x)[owned]
        if len(cell.spikes) and cell.rounding < 0.6:
            canvas.spikes[window][:] = np.maximum(canvas.spikes[window], spikes_at(cell, y, x))
    canvas.spikes[canvas.labels > 0] = 0
    return canvas


@dataclass(frozen=True, eq=False)
class Scenery:
    """What stays the same behind the cells of a movie: (Y, X) float32 fields."""

    unevenness: NDArray[np.float32]
    debris: NDArray[np.float32]
    light_angle: float
    polarity: float

    @classmethod
    def draw(cls, scenario: Scenario, rng: np.random.Generator) -> Scenery:
        """Draw the background of a movie."""
        coarse = rng.standard_normal((5, 5))
        zoom = [side / 5 for side in scenario.shape]
        uneven = ndimage.zoom(coarse, zoom, order=1, mode="nearest", grid_mode=True)
        debris = np.zeros(scenario.shape)
        for _ in range(scenario.debris):
            y, x = rng.integers(0, scenario.shape[0]), rng.integers(0, scenario.shape[1])
            debris[y, x] = rng.choice([-1, 1]) * rng.uniform(0.3, 1)
        size = max(0.8, 0.04 * scenario.diameter)
        debris = ndimage.gaussian_filter(debris, size) * 2 * np.pi * size**2
        debris += _draw_fibres(scenario, rng)
        return cls(
            uneven.astype(np.float32),
            debris.astype(np.float32),
            light_angle=rng.uniform(0, 2 * np.pi),
            polarity=float(rng.choice([-1.0, 1.0])),
        )


def _draw_fibres(scenario: Scenario, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw thin curved threads about as long as a cell, bright or dark."""
    field = np.zeros(scenario.shape)
    along = np.linspace(0, 1, 3 * round(scenario.diameter))
    for _ in range(scenario.fibres):
        angle, bend = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.3)
        forward = np.array([np.sin(angle), np.cos(angle)])
        aside = forward[::-1] * (1, -1)
        reach = scenario.diameter * rng.uniform(0.3, 1.2)
        start = rng.uniform(0, 1, 2) * scenario.shape
        points = start + reach * (along[:, None] * forward + bend * along[:, None] ** 2 * aside)
        rows, columns = np.round(points).astype(int).T
        inside = (
            (rows >= 0)
            & (rows < scenario.shape[0])
            & (columns >= 0)
            & (columns < scenario.shape[1])
        )
        field[rows[inside], columns[inside]] = rng.choice([-1, 1]) * rng.uniform(0.5, 2)
    threads: NDArray[np.float64] = ndimage.gaussian_filter(field, 0.8)
    return threads


def form_image(
    canvas: Canvas, scenario: Scenario, scenery: Scenery, signal: float
) -> NDArray[np.floating]:
    """Return the noiseless picture (Y, X), floating, about 0 to 1, before blur.

    Parameters
    ----------
    canvas, scenario, scenery
        What lies where, and how it looks.
    signal
        Strength of the cells' contrast on this frame.
    """
    inside = (canvas.labels > 0).astype(np.float32)
    gathered = 1 - scenario.core_gathers * (1 - canvas.core)
    texture = scenario.texture * canvas.texture * gathered
    seam_of_core = 4 * canvas.core * (1 - canvas.core)
    inner = scenario.core_contrast * (canvas.core + seam_of_core)
    ground = scenario.background * (1 + scenario.background_texture * scenery.unevenness)
    unit = max(scenario.diameter / 32, 0.5)
    picture: NDArray[np.floating]
    if scenario.modality is Modality.FLUORESCENCE:
        condensed = canvas.brightness * (1 + (0.8 + scenario.condensation) * canvas.rounding)
        filling = np.clip(0.75 + texture, 0.05, None) * np.exp(scenario.core_contrast * canvas.core)
        if scenario.patchiness:
            filling = filling * np.exp(2 * scenario.patchiness * (canvas.texture - 0.4))
        cells = condensed * filling * np.clip(canvas.depth / (2 * unit), 0.4, 1)
        picture = ground * 0.5 + signal * (cells + 0.15 * canvas.spikes)
        picture = picture + 0.3 * np.clip(scenery.debris, 0, None)
        return picture
    if scenario.modality is Modality.MEMBRANE:
        seam = np.exp(-((canvas.depth / (1.2 * unit)) ** 2)) * inside
        cells = canvas.brightness * (seam + 0.25 * np.clip(0.5 + texture, 0, None) * inside)
        picture = ground * 0.5 + signal * cells + 0.2 * scenery.debris
        return picture
    height = np.clip(canvas.depth, 0, None) / (0.5 * scenario.diameter)
    thickness = np.tanh(height / scenario.dome) * inside
    thickness = thickness * (1 + canvas.rounding)
    if scenario.modality is Modality.DIC:
        shape = (0.4 + 4.2 * scenario.halo) * thickness
        relief = unit * (shape + 1.2 * texture * inside + 0.5 * inner) + scenery.debris
        relief = relief + 0.5 * canvas.spikes
        slope = np.cos(scenery.light_angle) * ndimage.sobel(relief, 0) + np.sin(
            scenery.light_angle
        ) * ndimage.sobel(relief, 1)
        bright = 0.15 * canvas.rounding
        body = (0.08 * texture + 0.05 * inner + bright - scenario.shade) * inside
        picture = ground + 0.5 + signal * (0.08 * slope + body)
        return picture
    outer = ndimage.gaussian_filter(inside, 2.2 * unit) * (1 - inside)
    if scenario.modality is Modality.PHASE:
        body = scenery.polarity * canvas.brightness * (0.5 + texture + 0.4 * inner) * inside
        bright = canvas.rounding * inside * 0.6
        seam = scenario.halo * outer * (1.2 if scenery.polarity < 0 else -0.6)
        rim = -0.2 * scenery.polarity * np.exp(-((canvas.depth / (1.5 * unit)) ** 2)) * inside
        picture = (
            ground
            + 0.4
            + signal * (0.45 * body + bright + seam + rim)
            + 0.25 * signal * (scenery.debris + 0.6 * canvas.spikes)
        )
        return picture
    seam_width = (0.5 + scenario.halo) * unit
    fringe = ndimage.gaussian_laplace(thickness, seam_width) * seam_width**2
    picture = (
        ground
        + 0.5
        + signal
        * (
            scenery.polarity * fringe
            + (0.35 * texture + 0.2 * inner + 0.25 * canvas.rounding - scenario.shade) * inside
            + 0.2 * (scenery.debris + 0.6 * scenery.polarity * canvas.spikes)
        )
    )
    return picture

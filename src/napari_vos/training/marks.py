"""How users mark objects, simulated: scribbles along the skeleton, lines, clicks, boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.draw import line
from skimage.morphology import skeletonize

from napari_vos.store.evidence import window_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLIP = 0.15
"""Share of the strokes that go a little beyond the outline."""


def draw_mark(rng: np.random.Generator, region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a stroke or clicks that lie on a region (height, width), as pixels; none if empty."""
    if not region.any():
        return region.copy()
    choice = rng.random()
    if choice < 0.4:
        path = _part_of_skeleton(rng, region)
    elif choice < 0.65:
        path = _straight_line(rng, region)
    else:
        path = _clicks(rng, region, int(rng.integers(1, 4)))
    mark = _widened(path, float(rng.uniform(0.5, 3.5)))
    return mark if rng.random() < SLIP else mark & region


def draw_box(rng: np.random.Generator, region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a box around a region (height, width), nearly tight, as pixels."""
    boxed = np.zeros_like(region)
    found = window_of(region)
    if found is not None:
        slack = 0.04 * max(found.shape)
        top, left, bottom, right = np.round(found + rng.normal(0, slack, 4)).astype(int)
        boxed[max(top, 0) : max(bottom, top + 1, 1), max(left, 0) : max(right, left + 1, 1)] = True
    return boxed


def largest_piece(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected piece of a region."""
    pieces, count = ndimage.label(region)
    if count < 2:
        return region
    largest: NDArray[np.bool_] = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    return largest


def _part_of_skeleton(rng: np.random.Generator, region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    skeleton = np.argwhere(skeletonize(region))  # type: ignore[no-untyped-call]
    if not len(skeleton):
        return _clicks(rng, region, 1)
    distances = np.hypot(*(skeleton - skeleton[rng.integers(len(skeleton))]).T)
    chosen = skeleton[distances <= rng.uniform(0.3, 1.0) * (distances.max() + 1)]
    path = np.zeros_like(region)
    path[tuple(chosen.T)] = True
    return path


def _straight_line(rng: np.random.Generator, region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the line between two pixels of a region, as far as it lies within."""
    pixels = np.argwhere(region)
    start, end = pixels[rng.integers(len(pixels), size=2)]
    path = np.zeros_like(region)
    path[line(*start, *end)] = True  # type: ignore[no-untyped-call]
    return path & region


def _clicks(rng: np.random.Generator, region: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """Return single pixels, rather in the middle of a region than at its outline."""
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1].ravel() ** 2
    path = np.zeros_like(region)
    path.flat[rng.choice(depth.size, count, p=depth / depth.sum())] = True
    return path


def _widened(path: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    if not path.any():
        return path
    wide: NDArray[np.bool_] = ndimage.distance_transform_edt(~path) <= radius
    return wide

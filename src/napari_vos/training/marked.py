"""Training data of interaction: an object in its window, with marks and what was there before."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from napari_vos.engines.windows import (
    crop_windows,
    window_side,
    within_frame,
)
from napari_vos.store.evidence import window_of
from napari_vos.training.clips import augment
from napari_vos.training.marks import draw_box, draw_mark, largest_piece

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_vos.training.scenes import Scene

SMALLEST_AREA = 25
"""Objects of fewer pixels aren't marked."""

CORRECTED_SHARE = 0.45
"""Share of the windows in which the object has a mask, with mistakes."""

BOX_SHARE = 0.25
"""Share of the new objects that have a box."""

UNSURE_SHARE = 0.5
"""Share of the new objects without a box whose size isn't known yet."""

LEAST_VISIBLE = 12
"""Pixels of an object that a window shows at least."""


class Marked(NamedTuple):
    """Marked windows; a batch of them has B in front, and S = `WINDOW_SIZE`.

    Attributes
    ----------
    images
        (3, S, S) float32, any scale.
    previous, others
        (1, S, S) float32 in [0, 1]: the mask so far, and all other known objects.
    inside, outside, box
        (1, S, S) float32, 0 or 1: strokes on the object and off it, and its box.
    visible
        (1, S, S) float32: 1 inside the movie's frame, 0 beyond it.
    truth
        (1, S, S) float32 in [0, 1].
    """

    images: Tensor
    previous: Tensor
    others: Tensor
    inside: Tensor
    outside: Tensor
    box: Tensor
    visible: Tensor
    truth: Tensor


def sample_marked(rng: np.random.Generator, scene: Scene) -> Marked:
    """Cut a window around an object of a scene, and mark it."""
    t, object_id = _choose(rng, scene)
    choice = rng.random()
    corrected, boxed = choice < CORRECTED_SHARE, choice > 1 - BOX_SHARE * (1 - CORRECTED_SHARE)
    unsure = not corrected and not boxed and rng.random() < UNSURE_SHARE
    center, side = _place(rng, scene.labels[t] == object_id, unsure=unsure, corrected=corrected)
    image, truth, anything, visible = _cut(scene, t, object_id, center, side)
    mask = (truth > 0.5).numpy()[0]
    if mask.sum() < LEAST_VISIBLE:
        return sample_marked(rng, scene)
    others = (anything > 0.5).numpy()[0] & ~mask
    shown = visible.numpy()[0] > 0
    known = others & ~_hidden(rng, others)
    before, inside, outside, box = (np.zeros_like(mask) for _ in range(4))
    if corrected:
        other_time = min(max(t + int(rng.integers(-3, 4)), 0), len(scene.labels) - 1)
        earlier = _cut(scene, other_time, object_id, center, side)[1].numpy()[0] > 0.5
        before = _mistaken(rng, mask, others, earlier) & shown
        known &= ~before
        inside, outside = _corrections(rng, mask, before)
    else:
        if boxed:
            box = draw_box(rng, mask)
        if not boxed or rng.random() < 0.25:
            inside = draw_mark(rng, mask)
        if rng.random() < 0.25:
            outside = draw_mark(rng, _surroundings(mask) & shown)
    planes = torch.from_numpy(np.stack([before, known, inside, outside, box]).astype(np.float32))
    together = torch.cat([augment(rng, image[None])[0], planes, visible, truth])
    if rng.random() < 0.5:
        together = together.flip(-1)
    together = torch.rot90(together, int(rng.integers(4)), (-2, -1)).contiguous()
    return Marked(together[:3], *together[3:].chunk(7))


def _choose(rng: np.random.Generator, scene: Scene) -> tuple[int, int]:
    """Return the frame and the id of a random object."""
    filled = np.flatnonzero(scene.labels.any(axis=(1, 2)))
    t = int(rng.choice(filled))
    areas = np.bincount(scene.labels[t].ravel())
    areas[0] = 0
    large = np.flatnonzero(areas >= min(SMALLEST_AREA, areas.max()))
    return t, int(rng.choice(large))


def _place(
    rng: np.random.Generator, mask: NDArray[np.bool_], *, unsure: bool, corrected: bool
) -> tuple[NDArray[np.float64], float]:
    """Return centre and side of a window, in data pixels.

    If the object's size isn't known, the window is chosen around a stroke; if it is
    corrected, around what it was taken for.
    """
    box = window_of(mask)
    if box is None:
        raise ValueError("The mask is empty.")
    side = float(window_side(torch.tensor(float(max(box.shape)))))
    if unsure:
        side = max(16.0, side * float(np.exp(rng.uniform(np.log(0.5), np.log(4)))))
        pixels = np.argwhere(mask)
        return pixels[rng.integers(len(pixels))].astype(float), side
    middle = np.array([box.top + box.bottom - 1, box.left + box.right - 1]) / 2
    spread = 2.0 if corrected else 1.0
    center = middle + rng.normal(0, 0.05 * spread * side, 2)
    return center, side * float(np.exp(rng.normal(0, 0.12 * spread)))


def _cut(
    scene: Scene, t: int, object_id: int, center: NDArray[np.float64], side: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the image (3, S, S); mask, all objects, and visible part (1, S, S)."""
    height, width = scene.labels.shape[1:]
    half = side / 2 + 2
    top, left = (
        int(np.clip(at - half, 0, end - 1)) for at, end in zip(center, (height, width), strict=True)
    )
    window = slice(top, int(center[0] + half) + 2), slice(left, int(center[1] + half) + 2)
    labels = scene.labels[t][window]
    planes = torch.from_numpy(np.stack([labels == object_id, labels > 0]).astype(np.float32))
    image = torch.from_numpy(scene.images[t][window].astype(np.float32))[None]
    where = torch.tensor([[center[0] - top, center[1] - left]], dtype=torch.float32)
    sides = torch.tensor([side])
    image = crop_windows(image[None], where, sides, outside="border")[0]
    mask, anything = crop_windows(planes[None], where, sides)[0].chunk(2)
    at = torch.from_numpy(center[None].astype(np.float32))
    visible = within_frame(at, sides, (height, width))[0]
    return image.expand(3, -1, -1), mask, anything, visible


def _hidden(rng: np.random.Generator, others: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return neighbours that nobody has marked."""
    pieces, count = ndimage.label(others)
    share = rng.choice([0.0, 0.3, 1.0, 1.0])
    hidden: NDArray[np.bool_] = (
        np.isin(pieces, np.flatnonzero(rng.random(count + 1) < share)) & others
    )
    return hidden


def _mistaken(
    rng: np.random.Generator,
    mask: NDArray[np.bool_],
    others: NDArray[np.bool_],
    earlier: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Return a mask as an engine may have left it."""
    choice = rng.random()
    found = earlier if choice < 0.3 and earlier.any() else mask
    if choice < 0.6:
        found = _warped(rng, found)
    if choice >= 0.3:
        found = _half_lost(rng, found) if rng.random() < 0.5 else found | _taken(rng, found, others)
    return found if found.any() else mask


def _warped(rng: np.random.Generator, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Bend the outline by a few pixels, smoothly."""
    size = len(mask)
    coarse = torch.from_numpy(rng.normal(0, rng.uniform(0.02, 0.08), (1, 2, 6, 6)))
    bend = functional.interpolate(coarse, size=(size, size), mode="bicubic")[0].numpy() * size
    rows, columns = np.indices(mask.shape)
    warped: NDArray[np.float32] = ndimage.map_coordinates(
        mask.astype(np.float32), [rows + bend[0], columns + bend[1]], order=1
    )
    return warped > 0.5


def _half_lost(rng: np.random.Generator, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cut a part off, along a straight line."""
    if not mask.any():
        return mask
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.indices(mask.shape)
    along = rows * np.sin(angle) + columns * np.cos(angle)
    kept: NDArray[np.bool_] = mask & (along > np.quantile(along[mask], rng.uniform(0.15, 0.7)))
    return kept


def _taken(
    rng: np.random.Generator, mask: NDArray[np.bool_], others: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return what else was taken for the object: the nearest neighbours, or a disc at its side."""
    near = ndimage.binary_dilation(mask, iterations=int(rng.integers(4, 16)))
    if (near & others).any() and rng.random() < 0.6:
        pieces, _ = ndimage.label(others)
        neighbour: NDArray[np.bool_] = np.isin(pieces, np.unique(pieces[near & others]))
        return _half_lost(rng, neighbour) if rng.random() < 0.4 else neighbour
    rim = np.argwhere(near & ~mask)
    if not len(rim):
        return mask
    row, column = rim[rng.integers(len(rim))]
    rows, columns = np.indices(mask.shape)
    disc: NDArray[np.bool_] = np.hypot(rows - row, columns - column) < rng.uniform(3, 14)
    return disc


def _corrections(
    rng: np.random.Generator, mask: NDArray[np.bool_], before: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Mark the larger mistake, or both; what is right is marked on the object."""
    lacking = largest_piece(mask & ~before)
    surplus = largest_piece(before & ~mask)
    both = rng.random() < 0.25
    inside, outside = np.zeros_like(mask), np.zeros_like(mask)
    if max(lacking.sum(), surplus.sum()) < 4:
        return draw_mark(rng, mask), outside
    if both or lacking.sum() >= surplus.sum():
        inside = draw_mark(rng, lacking)
    if both or surplus.sum() > lacking.sum():
        outside = draw_mark(rng, surplus)
    return inside, outside


def _surroundings(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the ring around a mask."""
    near = ndimage.binary_dilation(mask, iterations=2)
    ring: NDArray[np.bool_] = ndimage.binary_dilation(mask, iterations=20) & ~near
    return ring

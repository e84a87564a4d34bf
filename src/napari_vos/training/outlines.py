"""Training data of refinement: a few objects on a piece of a frame, and their coarse masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy import ndimage
from skimage.segmentation import expand_labels
from torch.nn import functional

from napari_vos.engines.coarse_windows import believed, enlarge
from napari_vos.networks.refinement import border_strength
from napari_vos.training.clips import augment

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_vos.training.scenes import Scene

CANVAS_SIZE = 128
"""Side of a piece in pixels."""

RIM = 16
"""Pixels along the edges of a piece that lack context: no points lie there."""

N_OBJECTS = 3
"""Objects looked at on a piece; the same one again if it shows fewer."""

FACTORS = (2, 4, 8)
"""Pixels per pixel of a coarse mask."""

KINDS = {"perfect": 0.15, "soft": 0.15, "areas": 0.2, "masks": 0.4, "blocks": 0.1}
"""What masks are like, with the share of the pieces: never at a smaller scale; the
areas that objects have of each cell, enlarged, or besides cut to masks; or masks at the
smaller scale, enlarged and cut to masks, or enlarged cell by cell."""

OTHER_SCALES = 0.25
"""Share of the pieces whose masks come from a scale near the one that is told."""

SHIFTED = 0.5
SHIFT = 1.2
"""Share of the pieces on which people would draw outlines farther out or in, and the
deviation of how far, in pixels: the coarse mask tells, not the image."""


class Outlines(NamedTuple):
    """Pieces of frames; a batch of them has B in front.

    Attributes
    ----------
    images
        (B, 3, S, S) float32, S = `CANVAS_SIZE`.
    layout
        (B, 2, S, S) float32 in [0, 1], what the encoder knows of all coarse masks.
    own, others
        (B, K, S, S) float32 in [0, 1]: the coarse mask of each of K =
        `N_OBJECTS` objects, and of all others, enlarged by bilinear interpolation.
    given
        (B, K, S, S) float32 in [0, 1], each one's mask as it was given.
    known
        (B, K, S, S) float32 in [0, 1], what `believed` tells of each.
    truth
        (B, K, S, S) float32, 0 or 1.
    octaves
        (B,) float32, log2 of the factor of the coarse masks.
    """

    images: Tensor
    layout: Tensor
    own: Tensor
    others: Tensor
    given: Tensor
    known: Tensor
    truth: Tensor
    octaves: Tensor


def sample_outlines(rng: np.random.Generator, scene: Scene) -> Outlines:
    """Cut a piece of a frame around an object, and coarsen its masks."""
    image, drawn = _cut(rng, scene)
    labels = shift_outlines(rng, drawn)
    ids = np.append(0, np.unique(labels[labels > 0]))
    planes = torch.from_numpy((labels == ids[:, None, None]).astype(np.float32))
    factor = int(rng.choice(FACTORS))
    given = as_given(rng, planes, factor)
    coarse = functional.avg_pool2d(given, factor)
    total, strength = coarse[1:].sum(0), border_strength(coarse[1:]).amax(0)
    inner = labels[RIM:-RIM, RIM:-RIM]
    inside = np.flatnonzero(np.isin(ids, inner if inner.any() else labels) & (ids > 0))
    chosen = torch.from_numpy(rng.choice(inside, N_OBJECTS, replace=len(inside) < N_OBJECTS))
    return Outlines(
        augment(rng, torch.from_numpy(_degraded(rng, image)).expand(1, 3, -1, -1))[0],
        enlarge(torch.stack([total.clamp(max=1), strength]), factor),
        enlarge(coarse[chosen], factor),
        enlarge((total - coarse[chosen]).clamp(0, 1), factor),
        given[chosen],
        believed(coarse[chosen], given[chosen], factor),
        planes[chosen],
        torch.tensor(float(np.log2(factor))),
    )


def _cut(rng: np.random.Generator, scene: Scene) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Return image and labels (S, S) around a random pixel of a random object."""
    filled = np.flatnonzero(scene.labels.any(axis=(1, 2)))
    t = int(rng.choice(filled))
    frame = scene.labels[t]
    object_id = rng.choice(np.unique(frame[frame > 0]))
    rows, columns = np.nonzero(frame == object_id)
    at = int(rng.integers(len(rows)))
    jitter = rng.integers(-CANVAS_SIZE // 6, CANVAS_SIZE // 6, 2)
    pieces = []
    for plane in (scene.images[t], frame):
        top, left = (
            int(np.clip(center - CANVAS_SIZE // 2, 0, max(side - CANVAS_SIZE, 0)))
            for center, side in zip(
                (rows[at] + jitter[0], columns[at] + jitter[1]), plane.shape, strict=True
            )
        )
        piece = plane[top : top + CANVAS_SIZE, left : left + CANVAS_SIZE]
        lacking = [(0, CANVAS_SIZE - side) for side in piece.shape]
        pieces.append(np.pad(piece, lacking, mode="edge"))
    turns, flipped = int(rng.integers(4)), bool(rng.random() < 0.5)
    image, labels = (
        np.ascontiguousarray(np.rot90(piece[:, ::-1] if flipped else piece, turns))
        for piece in pieces
    )
    return image.astype(np.float32), labels


def shift_outlines(rng: np.random.Generator, labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return labels (S, S) whose outlines lie a little farther out or in, as people draw them."""
    if rng.random() >= SHIFTED:
        return labels
    shift = float(rng.normal(0, SHIFT))
    if shift > 0:
        grown: NDArray[np.uint16] = expand_labels(labels, shift)  # type: ignore[no-untyped-call]
        return grown
    highest = ndimage.maximum_filter(labels, 3)
    inner = (labels == highest) & (labels == ndimage.minimum_filter(labels, 3))
    shrunk = np.where(ndimage.distance_transform_edt(inner) + 0.5 >= -shift, labels, 0)
    return shrunk.astype(labels.dtype) if shrunk.any() else labels


def _degraded(rng: np.random.Generator, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an image (S, S) that is sometimes shaded, blurred or noisy."""
    low, high = image.min(), image.max()
    image = (image - low) / (high - low + 1e-6)
    if rng.random() < 0.3:
        field = torch.from_numpy(rng.normal(0, 1, (1, 1, 6, 6)).astype(np.float32))
        shade = functional.interpolate(field, size=image.shape, mode="bicubic")[0, 0].numpy()
        middle = np.median(image)
        image = (middle + (image - middle) * np.exp(shade)).astype(np.float32)
    if rng.random() < 0.3:
        image = ndimage.gaussian_filter(image, rng.uniform(0.5, 2))
    if rng.random() < 0.4:
        image = image + rng.normal(0, rng.uniform(0, 0.15), image.shape).astype(np.float32)
    return image


def as_given(rng: np.random.Generator, planes: Tensor, factor: int) -> Tensor:
    """Return planes (C, S, S), of background and objects, as a user or an engine has them."""
    kind = rng.choice(list(KINDS), p=list(KINDS.values()))
    if kind == "perfect":
        return planes
    cells = CANVAS_SIZE / factor
    if rng.random() < OTHER_SCALES:
        cells *= 2 ** rng.uniform(-0.5, 0.5)
    small = functional.interpolate(planes[None], size=2 * (round(cells),), mode="area")[0]
    if kind in ("masks", "blocks"):
        small = _winners(small)
    if kind == "blocks":
        return functional.interpolate(small[None], size=CANVAS_SIZE)[0]
    enlarged = functional.interpolate(small[None], size=CANVAS_SIZE, mode="bilinear")[0]
    if kind != "soft":
        return _winners(enlarged)
    sharper = enlarged ** float(rng.uniform(0.6, 2))
    return sharper / sharper.sum(0)


def _winners(planes: Tensor) -> Tensor:
    """Return 1 at the highest of planes (C, h, w), and 0 elsewhere."""
    return functional.one_hot(planes.argmax(0), len(planes)).movedim(-1, 0).float()

"""Training data of refinement: a few objects on a piece of a frame, and their coarse masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from napari_vos.training.clips import augment

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_vos.training.scenes import Scene

CANVAS_SIZE = 128
"""Side of a piece in pixels."""

N_OBJECTS = 3
"""Objects looked at on a piece; the same one again if it shows fewer."""

FACTORS = (2, 4, 8)
"""Pixels per pixel of a coarse mask."""

PERFECT_SHARE = 0.2
"""Share of the pieces whose masks were never at a smaller scale."""

COARSE_NOISE = 0.05
"""Deviation of what is added to coarse masks where they are uncertain."""


class Outlines(NamedTuple):
    """Pieces of frames; a batch of them has B in front.

    Attributes
    ----------
    images
        (B, 3, S, S) float32, S = `CANVAS_SIZE`.
    own, others
        (B, K, S, S) float32 in [0, 1]: the coarse mask of each of K =
        `N_OBJECTS` objects, and of all others, enlarged by bilinear interpolation;
        own is mirrored where the mask as it was given is on the other side of 0.5.
    truth
        (B, K, S, S) float32, 0 or 1.
    octaves
        (B,) float32, log2 of the factor of the coarse masks.
    """

    images: Tensor
    own: Tensor
    others: Tensor
    truth: Tensor
    octaves: Tensor


def sample_outlines(rng: np.random.Generator, scene: Scene) -> Outlines:
    """Cut a piece of a frame around an object, and coarsen its masks."""
    image, labels = _cut(rng, scene)
    shown = np.unique(labels[labels > 0])
    ids = rng.choice(shown, N_OBJECTS, replace=len(shown) < N_OBJECTS)
    truth = torch.from_numpy((labels == ids[:, None, None]).astype(np.float32))
    anything = torch.from_numpy((labels > 0).astype(np.float32))
    factor = int(rng.choice(FACTORS))
    planes = torch.cat([truth, anything[None] - truth])
    given = _as_given(rng, planes, factor)
    coarse = functional.avg_pool2d(given, factor)
    noise = torch.from_numpy(rng.normal(0, COARSE_NOISE, coarse.shape).astype(np.float32))
    uncertain = (coarse > 0) & (coarse < 1)
    coarse = (coarse + noise * uncertain).clamp(0, 1)
    own, others = _enlarge(coarse, factor).chunk(2)
    # As the refiner does: within a cell the side of 0.5 is that of the mask as it was given.
    divided = uncertain.repeat_interleave(factor, 1).repeat_interleave(factor, 2)[: len(own)]
    finer = divided & ((own > 0.5) != (given[: len(own)] > 0.5))
    own = torch.where(finer, 1 - own, own)
    picture = augment(rng, torch.from_numpy(image).expand(1, 3, -1, -1))[0]
    return Outlines(picture, own, others, truth, torch.tensor(float(np.log2(factor))))


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


def _as_given(rng: np.random.Generator, masks: Tensor, factor: int) -> Tensor:
    """Return masks (C, S, S) as a user or an engine would have them at full size.

    Enlarged from a smaller scale, as probabilities or cut to masks, or perfect:
    those must stay.
    """
    choice = rng.random()
    if choice < PERFECT_SHARE:
        return masks
    enlarged = _enlarge(functional.avg_pool2d(masks, factor), factor)
    return enlarged if choice < (1 + PERFECT_SHARE) / 2 else (enlarged > 0.5).float()


def _enlarge(planes: Tensor, factor: int) -> Tensor:
    return functional.interpolate(
        planes[None], scale_factor=factor, mode="bilinear", align_corners=False
    )[0]

"""Training data of instances: fields of view cut from labelled movies, with all that is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from napari_vos.engines.cells import LARGEST, OBJECT_SIDE, SIDE, cut, show
from napari_vos.engines.tiles import Tile
from napari_vos.frames import FrameStack
from napari_vos.training.yolact import Truth

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from napari_vos.training.scenes import Scene

UNKNOWN = -1
"""Label of pixels of which isn't known what they show."""

SMALLEST_AREA = 9
"""Of an instance, in pixels of the network; what is smaller is unknown."""

SCALES = 0.55
"""Of objects, two thirds of which are seen within a factor of 1.7 of the typical size."""

EMPTY_SHARE = 0.1
"""Share of the fields that are anywhere, not around an instance."""


class Fields(NamedTuple):
    """A batch of fields.

    Attributes
    ----------
    images
        (B, 3, S, S) float32, as the detector shows them; S = `SIDE`.
    labels
        (B, S, S) int32: instances, 0 for the background, `UNKNOWN`.
    """

    images: Tensor
    labels: Tensor


class LabelledFrames(Protocol):
    """Frames of which some have labels."""

    @property
    def frames(self) -> FrameStack:
        """The images."""
        ...

    @property
    def filled(self) -> Sequence[int]:
        """Frames with instances."""
        ...

    def labels(self, t: int) -> NDArray[np.int32]:
        """Return the labels (Y, X) of a frame, `UNKNOWN` where nobody has said what there is."""
        ...


class LabelledMovie:
    """A scene, and on which of its frames everything has a mask.

    Parameters
    ----------
    scene
        Images and labels.
    complete
        Frames on which everything in view has a mask. On others what has none
        is never taken for background.
    """

    def __init__(self, scene: Scene, complete: Collection[int]) -> None:
        self.scene = scene
        self.complete = frozenset(complete)
        self.filled = [t for t, labels in enumerate(scene.labels) if labels.any()]
        self.frames = FrameStack(scene.images, axes="TYX", cache_bytes=0)

    def labels(self, t: int) -> NDArray[np.int32]:
        """Return the labels (Y, X) of a frame, `UNKNOWN` where nobody has said what there is."""
        labels: NDArray[np.int32] = self.scene.labels[t].astype(np.int32)
        if t not in self.complete:
            labels[labels == 0] = UNKNOWN
        return labels


def sample_field(
    rng: np.random.Generator,
    movie: LabelledFrames,
    *,
    scales: float = SCALES,
    wider: float = 1,
) -> Fields:
    """Cut a field (B = 1) out of a random frame with instances, scaled, turned and mirrored.

    Parameters
    ----------
    rng
        Source of randomness.
    movie
        What to cut from.
    scales
        Deviation of the logarithm of how large objects are seen.
    wider
        How much wider fields are than the area of objects asks for.
    """
    t = movie.filled[int(rng.integers(len(movie.filled)))]
    labels = movie.labels(t)
    grey = augment(rng, movie.frames.normalized(t).mean(axis=0))
    tile = _choose_tile(rng, labels, scales, wider)
    image = cut(show(torch.from_numpy(grey)[None, None]), tile)
    turns, flipped = int(rng.integers(4)), bool(rng.random() < 0.5)
    turned = torch.rot90(image, turns, dims=(2, 3))
    seen = torch.rot90(torch.from_numpy(_cut_labels(labels, tile))[None], turns, dims=(1, 2))
    if flipped:
        turned, seen = turned.flip(3), seen.flip(2)
    return Fields(turned.contiguous(), seen.contiguous())


def augment(rng: np.random.Generator, grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Show a frame (Y, X) as another microscope would.

    Its gamma and, seldom, its polarity; light that is not even; defocus; noise.
    """
    grey = np.sign(grey) * np.abs(grey) ** np.float32(np.exp(rng.normal(0, 0.25)))
    if rng.random() < 0.1:
        grey = 1 - grey
    if rng.random() < 0.3:
        rows, columns = (np.linspace(-1, 1, side, dtype=np.float32) for side in grey.shape)
        slope = rng.uniform(-0.3, 0.3, 2).astype(np.float32)
        grey = grey * (1 + slope[0] * rows[:, None] + slope[1] * columns)
    if rng.random() < 0.2:
        grey = ndimage.gaussian_filter(grey, rng.uniform(0.5, 2))
    if rng.random() < 0.3:
        grey = grey + rng.uniform(0, 0.06) * rng.standard_normal(grey.shape, np.float32)
    return np.ascontiguousarray(grey, np.float32)


def truth_of(labels: Tensor) -> Truth:
    """Return what the labels (S, S) of a field say."""
    ids: Tensor = labels[labels > 0].unique()  # type: ignore[no-untyped-call]
    masks = labels == ids[:, None, None]
    unknown = labels == UNKNOWN
    return Truth(
        boxes_around(masks),
        torch.zeros(len(ids), dtype=torch.long, device=labels.device),
        masks.float(),
        torch.zeros(0, 4, device=labels.device),
        unknown if bool(unknown.any()) else None,
    )


def boxes_around(masks: Tensor) -> Tensor:
    """Return corners (G, 4), as shares of the image, around masks (G, H, W) that aren't empty."""
    boxes = [
        torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        for rows, columns in (
            (mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]) for mask in masks
        )
    ]
    height, width = masks.shape[-2:]
    sides = torch.tensor([width, height, width, height], device=masks.device)
    return torch.stack(boxes) / sides if boxes else masks.new_zeros(0, 4, dtype=torch.float32)


def _choose_tile(
    rng: np.random.Generator, labels: NDArray[np.int32], scales: float, wider: float
) -> Tile:
    """Choose a place so large that the frame's objects have a random size near the typical one."""
    areas = np.bincount(labels[labels > 0])
    there = areas[areas > 0]  # none if annotated instances are too thin for any pixel
    diameter = float(np.sqrt(np.median(there))) if there.size else OBJECT_SIDE
    target = OBJECT_SIDE * float(np.exp(rng.normal(0, scales)))
    side = int(np.clip(wider * SIDE * diameter / target, 16, LARGEST * max(labels.shape)))
    if not there.size or rng.random() < EMPTY_SHARE:
        centre = [int(rng.integers(length)) for length in labels.shape]
    else:
        object_id = rng.choice(np.flatnonzero(areas))
        places = np.argwhere(labels == object_id)
        jitter = rng.integers(-side // 3, side // 3 + 1, 2)
        centre = (places[rng.integers(len(places))] + jitter).tolist()
    top, left = (
        int(np.clip(middle - side // 2, 0, max(length - side, 0)))
        for middle, length in zip(centre, labels.shape, strict=True)
    )
    return Tile(top, left, side)


def _cut_labels(labels: NDArray[np.int32], tile: Tile) -> NDArray[np.int32]:
    """Return (S, S): the labels of a tile, nothing beyond the frame, too small ones unknown."""
    canvas = np.zeros((tile.side, tile.side), np.float32)
    view = labels[tile.within((labels.shape[0], labels.shape[1]))]
    canvas[: view.shape[0], : view.shape[1]] = view
    resized = functional.interpolate(
        torch.from_numpy(canvas)[None, None], size=(SIDE, SIDE), mode="nearest-exact"
    )[0, 0].numpy()
    seen = resized.astype(np.int32)
    areas = np.bincount(seen[seen > 0], minlength=1)
    tiny = np.flatnonzero((areas > 0) & (areas < SMALLEST_AREA))
    seen[np.isin(seen, tiny)] = UNKNOWN
    return seen

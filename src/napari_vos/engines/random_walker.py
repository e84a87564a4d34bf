"""The random walker: masks from strokes by the edges of the image alone.

Grady, "Random Walks for Image Segmentation", IEEE Transactions on Pattern
Analysis and Machine Intelligence, 2006, as scikit-image has it. It needs no
weights, and is what networks have to beat.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from skimage.segmentation import random_walker

from napari_vos.configs import RandomWalkerConfig
from napari_vos.errors import PromptError
from napari_vos.store.evidence import Box, window_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.frames import FrameStack
    from napari_vos.prompts import Drawing

UNKNOWN, OBJECT, REST = 0, 1, 2
"""What a seed says of its pixel."""

LARGEST_SIDE = 128
"""Windows with a longer side are solved on coarser pixels."""


@dataclass(frozen=True)
class RandomWalker:
    """An interactor that lets walkers start at each pixel of a window around the object.

    A pixel belongs to the object if a walker that shuns edges of the image
    reaches a seed of the object before any other. Seeds are the strokes; the
    core of the previous mask, away from strokes that contradict it; other
    objects; all that lies outside of the box, or the rim of the window.

    Make one with `RandomWalker.create`.
    """

    frames: FrameStack
    config: RandomWalkerConfig

    @classmethod
    def create(
        cls, frames: FrameStack, *, config: RandomWalkerConfig | None = None
    ) -> RandomWalker:
        """Return the interactor for a stack."""
        return cls(frames, config or RandomWalkerConfig())

    @property
    def plan(self) -> Mapping[str, object]:
        """Settings and versions; see `Interactor.plan`."""
        return {
            "interactor": "random_walker",
            "config": asdict(self.config),
            "scikit-image": version("scikit-image"),
        }

    def segment(self, drawing: Drawing, previous: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Return the masks of the objects that are drawn; see `Interactor.segment`.

        Raises
        ------
        PromptError
            If the image shows nothing around an object.
        """
        image = self.frames.normalized(drawing.t)
        labels = np.zeros_like(previous)
        best = np.full(previous.shape, 0.5, np.float32)
        for object_id in drawing.object_ids:
            box = self._window(drawing, previous, object_id)
            shown = image[:, *box.slices]
            if shown.min() == shown.max():
                raise PromptError(
                    f"Frame {drawing.t} of '{self.frames.name}' is constant around object "
                    f"{object_id}: there are no edges to find its mask by. Paint the mask."
                )
            probability = _walk(shown, _seeds(drawing, previous, object_id, box), self.config.beta)
            better = probability > best[box.slices]
            best[box.slices][better] = probability[better]
            labels[box.slices][better] = object_id
        return labels

    def _window(self, drawing: Drawing, previous: NDArray[np.uint16], object_id: int) -> Box:
        """Return a window that holds the object, with some of its surroundings."""
        mask = previous == object_id
        if object_id in drawing.boxes:
            rows, columns = drawing.boxes[object_id]
            found = Box(rows.start, columns.start, rows.stop, columns.stop)
            margin = max(found.shape) / 8
        elif mask.any():
            found = _box_of(mask | drawing.inside(object_id))
            margin = max(found.shape) / 4
        else:
            found = _box_of(drawing.inside(object_id))
            margin = self.config.reach
        margin = max(4, math.ceil(margin))
        return Box(
            max(0, found.top - margin),
            max(0, found.left - margin),
            min(mask.shape[0], found.bottom + margin),
            min(mask.shape[1], found.right + margin),
        )


def _box_of(mask: NDArray[np.bool_]) -> Box:
    return window_of(mask) or Box(0, 0, *mask.shape)


def _seeds(
    drawing: Drawing, previous: NDArray[np.uint16], object_id: int, box: Box
) -> NDArray[np.uint8]:
    """Return what is known of the pixels of a window: UNKNOWN, OBJECT or REST."""
    window = box.slices
    inside, outside = drawing.inside(object_id, window), drawing.outside(object_id, window)
    before = previous[window]
    seeds = np.zeros(box.shape, np.uint8)
    seeds[_rim(box, previous.shape)] = REST
    if (before == object_id).any():
        core, far = _soft_seeds(before == object_id, inside, outside)
        seeds[core], seeds[far] = OBJECT, REST
    boxed = np.zeros(previous.shape, np.bool_)
    if object_id in drawing.boxes:
        boxed[drawing.boxes[object_id]] = True
        seeds[~boxed[window]] = REST
    seeds[(before > 0) & (before != object_id)] = REST
    seeds[outside], seeds[inside] = REST, OBJECT
    if boxed.any() and not (seeds == OBJECT).any():
        seeds[_middle(boxed[window]) & (seeds == UNKNOWN)] = OBJECT
    return seeds


def _rim(box: Box, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the outermost pixels of a window, without those at the border of the frame.

    A window that is the whole frame keeps them: something has to be no object.
    """
    sides = (box.top > 0, box.left > 0, box.bottom < shape[0], box.right < shape[1])
    top, left, bottom, right = sides if any(sides) else (True,) * 4
    rim = np.zeros(box.shape, np.bool_)
    rim[:1], rim[-1:] = top, bottom
    rim[:, :1] |= left
    rim[:, -1:] |= right
    return rim


def _soft_seeds(
    mask: NDArray[np.bool_], inside: NDArray[np.bool_], outside: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return what a previous mask still says: where the object is, and where it isn't.

    Nothing is said near the mask's outline, nor as near to a stroke that
    contradicts the mask as the object is thick.
    """
    depth = ndimage.distance_transform_edt(mask)
    radius = depth.max()
    clear = max(1.0, 0.3 * radius)
    near_removed = _is_near(outside & mask, radius)
    core = (depth > clear) & ~near_removed
    if not core.any():
        core = mask & ~_is_near(outside, 2)
    height = ndimage.distance_transform_edt(~mask)
    far = (height > max(2.0, clear)) & ~_is_near(inside & ~mask, radius)
    return core, far


def _is_near(mask: NDArray[np.bool_], distance: float) -> NDArray[np.bool_]:
    """Return what lies within `distance` pixels of a mask; nothing if that is empty."""
    if not mask.any():
        return mask
    near: NDArray[np.bool_] = ndimage.distance_transform_edt(~mask) <= distance
    return near


def _middle(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the ellipse in the middle of a box that has a quarter of its sides."""
    box = _box_of(mask)
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    down = (rows - (box.top + box.bottom - 1) / 2) / max(1, box.shape[0] / 8)
    along = (columns - (box.left + box.right - 1) / 2) / max(1, box.shape[1] / 8)
    ellipse: NDArray[np.bool_] = down**2 + along**2 <= 1
    return ellipse & mask


def _walk(image: NDArray[np.float32], seeds: NDArray[np.uint8], beta: float) -> NDArray[np.float32]:
    """Return how probably each pixel belongs to the object.

    Parameters
    ----------
    image
        (C, height, width).
    seeds
        (height, width).
    beta
        How much walkers shun edges.
    """
    height, width = seeds.shape
    factor = math.ceil(max(height, width) / LARGEST_SIDE)
    is_seed = [_blocks(seeds == known, factor).any(axis=(1, 3)) for known in (OBJECT, REST)]
    coarse = np.select(is_seed, (OBJECT, REST), UNKNOWN)
    is_object = coarse == OBJECT
    probability = is_object.astype(np.float32)
    if (coarse == UNKNOWN).any() and is_object.any() and (coarse == REST).any():
        smooth = ndimage.gaussian_filter(image, (0, 1, 1))
        planes = np.stack([_blocks(plane, factor).mean(axis=(1, 3)) for plane in smooth])
        # Solved exactly: conjugate gradients stop too early behind strong edges.
        found = random_walker(
            planes, coarse, beta, mode="bf", channel_axis=0, return_full_prob=True
        )
        probability = found[0].astype(np.float32)
    fine: NDArray[np.float32] = ndimage.zoom(
        probability, factor, order=1, mode="nearest", grid_mode=True
    )
    return fine[:height, :width]


def _blocks(plane: NDArray[np.generic], factor: int) -> NDArray[Any]:
    """Return (rows, factor, columns, factor), the edges repeated where blocks aren't full."""
    below, right = (-side % factor for side in plane.shape)
    padded = np.pad(plane, ((0, below), (0, right)), mode="edge")
    return padded.reshape(len(padded) // factor, factor, -1, factor)

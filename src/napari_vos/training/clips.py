"""Training clips: one object in a few frames, resampled to network pixels."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from napari_vos.engines.windows import WINDOW_SIZE, crop_windows, window_side, within_frame
from napari_vos.store.evidence import window_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_vos.training.scenes import Scene

SMALLEST_AREA = 25
"""Data pixels of an object to learn from."""

CANVAS_SIZE = 192
"""Side of a clip's frames in network pixels: two windows, room to move in."""


class Clips(NamedTuple):
    """A batch of clips; the first frame is the reference, the second the known previous one.

    Attributes
    ----------
    images
        (B, F, 3, S, S) float32, S = `CANVAS_SIZE`.
    masks, others
        (B, F, 1, S, S) float32 in [0, 1].
    visible
        (B, F, 1, S, S) float32: 1 inside the movie's frame, 0 beyond it.
    presence
        (B, F) float32: 1 there, 0 gone, -1 unknown.
    """

    images: torch.Tensor
    masks: torch.Tensor
    others: torch.Tensor
    visible: torch.Tensor
    presence: torch.Tensor


@dataclass(frozen=True, eq=False)
class Track:
    """Where one object of a scene is.

    Attributes
    ----------
    scene, object_id
        Which one.
    frames
        The frames that hold it, ascending.
    ends
        Whether it certainly isn't there on the frame after the last one.
    """

    scene: int
    object_id: int
    frames: tuple[int, ...]
    ends: bool


def find_tracks(scene: Scene, index: int) -> list[Track]:
    """List the objects of scene number `index` that are on at least three frames."""
    seen: dict[int, list[int]] = {}
    for t, frame in enumerate(scene.labels):
        areas = np.bincount(frame.ravel())
        for object_id in np.flatnonzero(areas >= SMALLEST_AREA).tolist():
            if object_id:
                seen.setdefault(object_id, []).append(t)
    return [
        Track(index, object_id, tuple(frames), scene.exact and frames[-1] + 1 < len(scene.labels))
        for object_id, frames in seen.items()
        if len(frames) >= 3
    ]


def sample_clip(rng: np.random.Generator, scene: Scene, track: Track, *, length: int) -> Clips:
    """Cut one clip (B = 1) of `length` frames around an object."""
    frames = _choose_frames(rng, scene, track, length)
    first = scene.labels[frames[1]] == track.object_id
    box = window_of(first)
    if box is None:
        raise ValueError(f"Object {track.object_id} isn't on frame {frames[1]}.")
    extent = torch.tensor([float(max(box.shape))])
    side = window_side(extent) * CANVAS_SIZE / WINDOW_SIZE * float(np.exp(rng.normal(0, 0.12)))
    fragmented = rng.random() < 0.06
    if fragmented:
        # The window will be chosen for what was marked, which is less than the object.
        side = side * float(rng.uniform(0.6, 1.0))
    center = np.array([(box.top + box.bottom - 1) / 2, (box.left + box.right - 1) / 2])
    reference_box = window_of(scene.labels[frames[0]] == track.object_id)
    images, planes, presence = [], [], []
    hidden = _hidden_neighbours(rng, scene, track, frames)
    for index, t in enumerate(frames):
        here = center
        if index == 0 and reference_box is not None:
            here = np.array(
                [
                    (reference_box.top + reference_box.bottom - 1) / 2,
                    (reference_box.left + reference_box.right - 1) / 2,
                ]
            )
        image, known = _cut(scene, t, track.object_id, hidden, here, float(side))
        images.append(image)
        planes.append(known)
        there = t in track.frames
        presence.append(1.0 if there else (0.0 if scene.exact else -1.0))
    picture = augment(rng, torch.stack(images))
    known = torch.stack(planes)
    if rng.random() < 0.5:
        known = _draw_otherwise(known, int(rng.choice([-3, -2, -1, 1, 2, 3])))
    if fragmented:
        known[:2, :1] = known[:2, :1] * _fragments(rng)
    clip = torch.cat([picture, known], dim=1)
    if rng.random() < 0.5:
        clip = clip.flip(-1)
    clip = torch.rot90(clip, int(rng.integers(4)), (-2, -1)).contiguous()
    clip = clip[None]
    return Clips(
        images=clip[:, :, :3],
        masks=clip[:, :, 3:4],
        others=clip[:, :, 4:5],
        visible=clip[:, :, 5:],
        presence=torch.tensor([presence]),
    )


def _choose_frames(rng: np.random.Generator, scene: Scene, track: Track, length: int) -> list[int]:
    """Choose reference, previous and the frames to predict, in either direction, with gaps."""
    n_frames = len(scene.labels)
    present = track.frames
    stride = int(rng.choice([1, 1, 1, 2, 3]))
    last = present[-1]
    if track.ends and rng.random() < 0.7:
        # A clip to just beyond the end teaches when to stop.
        start = max(present[0], last - int(rng.integers(max(0, length - 5), length - 2)))
        start = max(t for t in present if t <= start)
        following = [start + 1 + i for i in range(length - 2)]
    else:
        start = int(rng.choice(present))
        following = _wander(rng, present, start, stride, length - 2)
    following = [min(max(t, 0), n_frames - 1) for t in following]
    reference = start if rng.random() < 0.4 else int(rng.choice(present))
    return [reference, start, *following]


def _wander(
    rng: np.random.Generator, present: Sequence[int], start: int, stride: int, count: int
) -> list[int]:
    """Go from `start` to `count` further frames, turning round at the first and the last one.

    So clips can be longer than an object is there: what goes wrong little by
    little shows in long ones only.
    """
    position = bisect_left(present, start)
    step = stride if rng.random() < 0.5 else -stride
    visited = []
    for _ in range(count):
        if not 0 <= position + step < len(present):
            step = -step
        position = min(max(position + step, 0), len(present) - 1)
        visited.append(present[position])
    return visited


def _hidden_neighbours(
    rng: np.random.Generator, scene: Scene, track: Track, frames: list[int]
) -> NDArray[np.intp]:
    """Choose neighbours nobody has marked: they look like objects but aren't in the others mask."""
    neighbours = np.flatnonzero(np.bincount(scene.labels[frames].ravel()))
    neighbours = neighbours[(neighbours > 0) & (neighbours != track.object_id)]
    share = rng.choice([0.0, 0.0, 0.3, 1.0])
    hidden: NDArray[np.intp] = neighbours[rng.random(len(neighbours)) < share]
    return hidden


def _cut(
    scene: Scene,
    t: int,
    object_id: int,
    hidden: NDArray[np.intp],
    center: NDArray[np.float64],
    side: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the image (3, S, S), and mask, others and visible part (3, S, S)."""
    height, width = scene.labels.shape[1:]
    half = side / 2 + 2
    top, left = max(0, int(center[0] - half)), max(0, int(center[1] - half))
    bottom, right = min(height, int(center[0] + half) + 2), min(width, int(center[1] + half) + 2)
    window = slice(top, bottom), slice(left, right)
    labels = scene.labels[t][window]
    mask = labels == object_id
    other = (labels > 0) & ~mask & ~np.isin(labels, hidden)
    planes = torch.from_numpy(np.stack([mask, other]).astype(np.float32))
    image = torch.from_numpy(scene.images[t][window].astype(np.float32))[None]
    where = torch.tensor([[center[0] - top, center[1] - left]], dtype=torch.float32)
    sides = torch.tensor([side])
    image = crop_windows(image[None], where, sides, size=CANVAS_SIZE, outside="border")[0]
    planes = crop_windows(planes[None], where, sides, size=CANVAS_SIZE)[0]
    visible = within_frame(where, sides, labels.shape, size=CANVAS_SIZE)[0]
    return image.expand(3, -1, -1), torch.cat([planes, visible])


def _draw_otherwise(known: torch.Tensor, margin: int) -> torch.Tensor:
    """Draw all outlines of a clip `margin` pixels further out, or in if negative.

    People draw the same edge differently; the first frame tells how.

    Parameters
    ----------
    known
        (F, 3, S, S) masks, others and visible part.
    margin
        In network pixels.
    """
    masks, others, visible = known.chunk(3, dim=1)
    if margin > 0:
        grown = _grow(masks, margin) * (1 - others)
        others = _grow(others, margin) * (1 - grown)
    else:
        grown = 1 - _grow(1 - masks, -margin)
        if bool((grown.sum((1, 2, 3)) < 0.5 * masks.sum((1, 2, 3))).any()):
            return known
        others = 1 - _grow(1 - others, -margin)
    return torch.cat([grown, others, visible], dim=1)


def _grow(masks: torch.Tensor, margin: int) -> torch.Tensor:
    """Dilate by about an octagon."""
    for step in range(margin):
        if step % 2:
            masks = functional.max_pool2d(masks, 3, stride=1, padding=1)
        else:
            rows = functional.max_pool2d(masks, (3, 1), stride=1, padding=(1, 0))
            columns = functional.max_pool2d(masks, (1, 3), stride=1, padding=(0, 1))
            masks = torch.maximum(rows, columns)
    return masks


def _fragments(rng: np.random.Generator) -> torch.Tensor:
    """Return (1, 1, S, S) of 0 and 1 that leaves parts of a mask, as thresholding noise does."""
    size = int(rng.integers(2, 6))
    side = -(-CANVAS_SIZE // size)
    coarse = torch.from_numpy(rng.random((1, 1, side, side), np.float32))
    noise = functional.interpolate(coarse, scale_factor=size, mode="bilinear")
    kept = (noise < float(rng.uniform(0.35, 0.6))).float()
    return kept[:, :, :CANVAS_SIZE, :CANVAS_SIZE]


def augment(rng: np.random.Generator, images: torch.Tensor) -> torch.Tensor:
    """Change gamma, polarity, gain and colour of (F, 3, S, S) images of one clip together."""
    low, high = images.amin(), images.amax()
    images = (images - low) / (high - low + 1e-6)
    images = images ** float(np.exp(rng.normal(0, 0.25)))
    if rng.random() < 0.1:
        images = 1 - images
    if rng.random() < 0.2:
        tint = torch.from_numpy(rng.uniform(0.3, 1.0, (1, 3, 1, 1)).astype(np.float32))
        images = images * tint
    if rng.random() < 0.3:
        noise = float(rng.uniform(0, 0.06))
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        images = images + noise * torch.randn(images.shape, generator=generator)
    return images


def collate(clips: Sequence[Clips]) -> Clips:
    """Join clips into one batch."""
    return Clips(*(torch.cat(parts) for parts in zip(*clips, strict=True)))

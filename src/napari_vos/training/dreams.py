"""Dreams: one frame becomes a movie by smooth motion, changes of intensity and new noise.

Khoreva et al., "Lucid data dreaming for video object segmentation", IJCV 2019.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from skimage.restoration import denoise_nl_means
from torch.nn import functional

from napari_vos.engines.windows import CONTEXT
from napari_vos.store.evidence import window_of
from napari_vos.training.clips import SMALLEST_AREA, Track
from napari_vos.training.scenes import Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARGIN = 1.1 * CONTEXT
"""Of a dream around its object, relative to the longest side of the object's box."""

DREAM_SIDE = 256
"""Larger dreams are seen at a smaller scale, as the windows of large objects are."""


def dream(
    rng: np.random.Generator,
    image: NDArray[np.float32],
    calm: NDArray[np.float32],
    labels: NDArray[np.uint16],
    object_id: int,
    *,
    n_frames: int,
) -> tuple[Scene, Track]:
    """Make a movie of what lies around an object; its first frame is the real one.

    Parameters
    ----------
    rng
        Source of all choices.
    image, calm, labels
        (Y, X): a frame, the same without its noise, and what is marked on it.
    object_id
        The object.
    n_frames
        Of the movie.

    Returns
    -------
    Scene, Track
        The movie, and where the object is in it.
    """
    box = window_of(labels == object_id)
    if box is None:
        raise ValueError(f"Object {object_id} isn't there.")
    extent = max(box.shape)
    reach = math.ceil(MARGIN * extent) + 8
    window = (
        slice(max(0, box.top - reach), box.bottom + reach),
        slice(max(0, box.left - reach), box.right + reach),
    )
    shrink = max(1, round((extent + 2 * reach) / DREAM_SIDE))
    planes = torch.from_numpy(np.stack([image[window], calm[window]]))[:, None]
    picture, still = functional.avg_pool2d(planes, shrink)
    height, width = picture.shape[-2:]
    cut = labels[window][shrink // 2 :: shrink, shrink // 2 :: shrink][:height, :width]
    drawn = torch.from_numpy(cut.astype(np.float32))[None, None]
    grid = _grid(rng, (height, width), extent / shrink, n_frames)
    moved = _sample(drawn, grid, "nearest")[:, 0].numpy().astype(np.uint16)
    noise = picture - still
    spread = functional.avg_pool2d(noise**2, 15, 1, padding=7, count_include_pad=False).sqrt()
    shown = _change(rng, _sample(still[None], grid, "bilinear"), moved == object_id)
    grain = _reshuffled(rng, noise / spread.clamp(min=1e-6), n_frames)
    shown += grain * _sample(spread[None], grid, "bilinear")
    shown[0] = picture
    scene = Scene(shown[:, 0].numpy(), moved, exact=False)
    there = np.flatnonzero((moved == object_id).sum(axis=(1, 2)) >= SMALLEST_AREA)
    return scene, Track(0, object_id, tuple(there.tolist()) or (0,), ends=False)


def _grid(
    rng: np.random.Generator, shape: tuple[int, int], extent: float, n_frames: int
) -> torch.Tensor:
    """Return where the pixels of each frame come from, (T, Y, X, 2) as `grid_sample` takes it.

    Everything drifts, neighbours on ways of their own, and outlines are dented.
    """
    pace = min(0.1, float(np.exp(rng.normal(math.log(0.04), 0.6))))
    y, x = torch.meshgrid(
        *(torch.linspace(-side / 2, side / 2, side) for side in shape), indexing="ij"
    )
    angle = _momentum(rng, (n_frames, 1, 1, 1), 0.6 * pace)
    flow = torch.cat([-angle * x, angle * y], dim=1)
    for cell, amount in ((math.inf, 1.0), (1.2 * extent, 0.25), (0.4 * extent, 0.1)):
        size = [1 if math.isinf(cell) else math.ceil(side / max(cell, 4)) + 1 for side in shape]
        field = _momentum(rng, (n_frames, 2, *size), amount * pace * extent)
        flow += functional.interpolate(field, shape, mode="bicubic", align_corners=True)
    return _as_grid(flow)


def _momentum(rng: np.random.Generator, shape: tuple[int, ...], amount: float) -> torch.Tensor:
    """Return ways whose steps resemble the step before: (T, ...), from 0 on."""
    pushes = amount * rng.standard_normal(shape).astype(np.float32)
    pushes[0] = 0
    for t in range(2, len(pushes)):
        pushes[t] = 0.6 * pushes[t - 1] + 0.8 * pushes[t]
    return torch.from_numpy(pushes.cumsum(axis=0))


def _as_grid(flow: torch.Tensor) -> torch.Tensor:
    height, width = flow.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    rows, columns = y + flow[:, 0], x + flow[:, 1]
    return torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], dim=-1)


def _sample(plane: torch.Tensor, grid: torch.Tensor, mode: str) -> torch.Tensor:
    return functional.grid_sample(
        plane.expand(len(grid), -1, -1, -1),
        grid,
        mode=mode,
        padding_mode="border",
        align_corners=False,
    )


def _change(
    rng: np.random.Generator,
    movie: torch.Tensor,
    inside: NDArray[np.bool_],
) -> torch.Tensor:
    """Change gain, contrast of the object and focus from frame to frame."""
    n_frames = len(movie)

    def wander(amount: float) -> torch.Tensor:
        steps = amount * rng.standard_normal(n_frames)
        steps[0] = 0
        return torch.from_numpy(np.exp(np.cumsum(steps)).astype(np.float32))[:, None, None, None]

    ground = movie[0].median()
    mask = torch.from_numpy(inside.astype(np.float32))[:, None]
    soft = functional.avg_pool2d(mask, 5, stride=1, padding=2)
    movie = movie + soft * (wander(0.05) - 1) * (movie - ground)
    movie = ground + wander(0.03) * (movie - ground)
    smooth = functional.avg_pool2d(movie, 3, stride=1, padding=1, count_include_pad=False)
    blur = torch.from_numpy(rng.uniform(0, 0.4, n_frames).astype(np.float32))
    return movie + blur[:, None, None, None] * (smooth - movie)


def _reshuffled(rng: np.random.Generator, grain: torch.Tensor, n_frames: int) -> torch.Tensor:
    """Return (T, 1, Y, X) noise like the (1, Y, X) one; no frame's tells of another's."""
    height, width = grain.shape[-2:]
    frames = []
    for _ in range(n_frames):
        moved = grain.roll((int(rng.integers(height)), int(rng.integers(width))), (-2, -1))
        axes = [axis for axis in (-2, -1) if rng.random() < 0.5]
        frames.append(moved.flip(axes))
    return float(np.exp(0.2 * rng.standard_normal())) * torch.stack(frames)


def calmed(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a (Y, X) image without its noise, by non-local means."""
    noise = _noise(image)
    calm: NDArray[np.float32] = denoise_nl_means(
        image, patch_size=5, patch_distance=6, h=0.8 * noise, sigma=noise, fast_mode=True
    ).astype(np.float32)
    return calm


def _noise(image: NDArray[np.float32]) -> float:
    """Return the deviation of the noise (Immerkaer, CVIU 1996), robust against edges."""
    second = image[:-2] - 2 * image[1:-1] + image[2:]
    mixed = second[:, :-2] - 2 * second[:, 1:-1] + second[:, 2:]
    return float(np.median(np.abs(mixed))) / (6 * 0.6745)

"""What the compact network learns a stack from: dreams of the frames that the user has marked.

One annotated frame becomes any number of clips by smooth deformation, motion and
changes of intensity, as in Khoreva et al., "Lucid data dreaming for video object
segmentation", IJCV 2019; fine-tuning on one frame is that of OSVOS (Caelles et
al., CVPR 2017). Simulated movies in between keep what was learned before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch.nn import functional

from napari_vos import checkpoints
from napari_vos.engines.windows import CONTEXT
from napari_vos.errors import PromptError
from napari_vos.store.evidence import window_of
from napari_vos.training.adapt import check_frames
from napari_vos.training.clips import Clips, Track, collate, find_tracks, sample_clip
from napari_vos.training.compact import ENDING_SHARE
from napari_vos.training.rollout import Losses, roll_out
from napari_vos.training.scenes import FIRST_SEED, Scene, simulate_scene

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_vos.frames import FrameStack
    from napari_vos.networks.compact import CompactNetwork

SMALLEST_AREA = 25
"""Pixels of an object to learn from."""

MARGIN = 1.1 * CONTEXT
"""Of a dream around its object, relative to the longest side of the object's box."""

DREAM_SIDE = 256
"""Larger dreams are seen at a smaller scale, as the windows of large objects are."""

REHEARSED = 0.3
"""Share of the clips that are cut from simulated movies."""

N_SCENES, CLIPS_PER_SCENE = 8, 24
"""Simulated movies at hand, and clips after which the oldest is replaced by a new one."""


class CompactLessons:
    """Clips of dreams, and of simulated movies; see `adapt.Lessons`.

    Parameters
    ----------
    frames
        The stack.
    annotated
        (Y, X) labels by frame.
    weights
        File to start from.

    Raises
    ------
    PromptError
        If no object is large enough.
    NapariVosError
        If images or weights can't be used.
    """

    name = "compact"
    learning_rate = 2e-4
    batch_size = 4
    clip_bytes = 96 << 20
    length = 6
    """Frames of a clip."""

    def __init__(
        self, frames: FrameStack, annotated: Mapping[int, NDArray[np.uint16]], weights: Path
    ) -> None:
        check_frames(frames)
        self.network = cast("CompactNetwork", checkpoints.load_network("compact", weights))
        self._frames = [
            (frames.normalized(t).mean(axis=0), labels) for t, labels in sorted(annotated.items())
        ]
        self._objects = [
            (index, object_id)
            for index, (_, labels) in enumerate(self._frames)
            for object_id in np.flatnonzero(np.bincount(labels.ravel()) >= SMALLEST_AREA).tolist()
            if object_id
        ]
        if not self._objects:
            raise PromptError(
                f"No object of {SMALLEST_AREA} pixels or more is marked on '{frames.name}'. The "
                "compact engine learns from marked frames: paint the objects of at least one."
            )
        self._scenes: list[tuple[Scene, list[Track]]] = []
        self._seeds = count(FIRST_SEED)
        self._rehearsed = 0

    def batch(self, rng: np.random.Generator, size: int) -> Clips:
        """Return `size` clips; see `adapt.Lessons`."""
        return collate([self._clip(rng) for _ in range(size)])

    def losses(self, network: CompactNetwork, batch: Clips, generator: torch.Generator) -> Losses:
        """Return the losses of a batch; see `roll_out`."""
        return roll_out(network, batch, generator)

    def _clip(self, rng: np.random.Generator) -> Clips:
        if rng.random() < REHEARSED:
            scene, track = self._simulated(rng)
        else:
            index, object_id = self._objects[int(rng.integers(len(self._objects)))]
            image, labels = self._frames[index]
            scene, track = dream(rng, image, labels, object_id, n_frames=self.length + 2)
        return sample_clip(rng, scene, track, length=self.length)

    def _simulated(self, rng: np.random.Generator) -> tuple[Scene, Track]:
        if self._rehearsed % CLIPS_PER_SCENE == 0:
            tracks: list[Track] = []
            while not tracks:
                scene = simulate_scene(next(self._seeds))
                tracks = find_tracks(scene, 0)
            self._scenes = [*self._scenes, (scene, tracks)][-N_SCENES:]
        self._rehearsed += 1
        scene, tracks = self._scenes[int(rng.integers(len(self._scenes)))]
        ending = [track for track in tracks if track.ends]
        if ending and rng.random() < ENDING_SHARE:
            tracks = ending
        return scene, tracks[int(rng.integers(len(tracks)))]


def dream(
    rng: np.random.Generator,
    image: NDArray[np.float32],
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
    image, labels
        (Y, X).
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
    picture = torch.from_numpy(np.ascontiguousarray(image[window]))[None, None]
    picture = functional.avg_pool2d(picture, shrink) if shrink > 1 else picture
    height, width = picture.shape[-2:]
    cut = labels[window][shrink // 2 :: shrink, shrink // 2 :: shrink][:height, :width]
    planes = torch.from_numpy(cut.astype(np.float32))[None, None]
    grid = _grid(rng, (height, width), extent / shrink, n_frames)
    moved = _sample(planes, grid, "nearest")[:, 0].numpy().astype(np.uint16)
    shown = _change(rng, _sample(picture, grid, "bilinear"), moved == object_id, picture)
    scene = Scene(shown[:, 0].numpy(), moved, exact=False)
    there = np.flatnonzero((moved == object_id).sum(axis=(1, 2)) >= SMALLEST_AREA)
    return scene, Track(0, object_id, tuple(there.tolist()) or (0,), ends=False)


def _grid(
    rng: np.random.Generator, shape: tuple[int, int], extent: float, n_frames: int
) -> torch.Tensor:
    """Return where the pixels of each frame come from, (T, Y, X, 2) as `grid_sample` takes it.

    Everything drifts, neighbours on ways of their own, and outlines are dented.
    """
    pace = extent * min(0.1, float(np.exp(rng.normal(math.log(0.04), 0.6))))
    flow = torch.zeros(n_frames, 2, *shape)
    for cell, amount in ((math.inf, 0.7), (1.2 * extent, 1.0), (0.4 * extent, 0.3)):
        size = [1 if math.isinf(cell) else math.ceil(side / max(cell, 4)) + 1 for side in shape]
        steps = rng.standard_normal((n_frames, 2, *size)).astype(np.float32)
        steps[0] = 0
        for t in range(1, n_frames):
            steps[t] = 0.92 * steps[t - 1] + amount * pace * steps[t]
        field = torch.from_numpy(steps)
        flow += functional.interpolate(field, shape, mode="bicubic", align_corners=True)
    return _as_grid(flow)


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
    picture: torch.Tensor,
) -> torch.Tensor:
    """Change gain, contrast of the object, focus and noise from frame to frame."""
    n_frames = len(movie)

    def wander(amount: float) -> torch.Tensor:
        steps = amount * rng.standard_normal(n_frames)
        steps[0] = 0
        return torch.from_numpy(np.exp(np.cumsum(steps)).astype(np.float32))[:, None, None, None]

    ground = picture.median()
    mask = torch.from_numpy(inside.astype(np.float32))[:, None]
    soft = functional.avg_pool2d(mask, 5, stride=1, padding=2)
    movie = movie + soft * (wander(0.05) - 1) * (movie - ground)
    movie = ground + wander(0.03) * (movie - ground)
    smooth = functional.avg_pool2d(movie, 3, stride=1, padding=1, count_include_pad=False)
    blur = torch.from_numpy(rng.uniform(0, 0.8, n_frames).astype(np.float32))
    blur[0] = 0
    noise = 1.5 * (movie[:1] - smooth[:1]).abs().median()
    grain = torch.from_numpy(rng.standard_normal(tuple(movie.shape)).astype(np.float32))
    grain[0] = 0
    return movie + blur[:, None, None, None] * (smooth - movie) + noise * grain

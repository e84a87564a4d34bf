"""What the compact network learns a stack from: dreams of the frames that the user has marked.

One annotated frame becomes any number of clips by smooth deformation, motion and
changes of intensity, as in Khoreva et al., "Lucid data dreaming for video object
segmentation", IJCV 2019; fine-tuning on one frame is that of OSVOS (Caelles et
al., CVPR 2017). Simulated movies in between keep what was learned before.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, cast

import numpy as np

from napari_vos import checkpoints
from napari_vos.errors import PromptError
from napari_vos.training.adapt import check_frames
from napari_vos.training.clips import SMALLEST_AREA, Clips, Track, collate, find_tracks, sample_clip
from napari_vos.training.compact import ENDING_SHARE
from napari_vos.training.dreams import calmed, dream
from napari_vos.training.rollout import Losses, roll_out
from napari_vos.training.scenes import FIRST_SEED, Scene, simulate_scene

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from napari_vos.frames import FrameStack
    from napari_vos.networks.compact import CompactNetwork

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
    learning_rate = 1e-4
    batch_size = 4
    clip_bytes = 120 << 20
    share = 0.5
    length = 6
    """Frames of a clip."""

    def __init__(
        self, frames: FrameStack, annotated: Mapping[int, NDArray[np.uint16]], weights: Path
    ) -> None:
        check_frames(frames)
        self.network = cast("CompactNetwork", checkpoints.load_network("compact", weights))
        self._frames = [
            (image := frames.normalized(t).mean(axis=0), calmed(image), labels)
            for t, labels in sorted(annotated.items())
        ]
        self._objects = [
            (index, object_id)
            for index, (_, _, labels) in enumerate(self._frames)
            for object_id in np.flatnonzero(np.bincount(labels.ravel()) >= SMALLEST_AREA).tolist()
            if object_id
        ]
        if not self._objects:
            raise PromptError(
                f"No object of {SMALLEST_AREA} pixels or more is marked on '{frames.name}'. The "
                "compact engine learns from marked frames: give masks of at least one, or take "
                "the engine 'mast', which learns from the images alone."
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
            image, calm, labels = self._frames[index]
            scene, track = dream(rng, image, calm, labels, object_id, n_frames=self.length + 2)
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

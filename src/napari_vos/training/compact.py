"""The recipe of the compact network's weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from napari_vos.networks.compact import CompactNetwork
from napari_vos.training.clips import Clips, Track, collate, find_tracks, sample_clip
from napari_vos.training.loop import SeededStream, fit, write_weights
from napari_vos.training.rollout import roll_out
from napari_vos.training.scenes import Scene, describe_data, gather_scenes

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

ENDING_SHARE = 0.5
"""Share of the clips cut from objects that divide, vanish or leave, where a movie has such."""


@dataclass(frozen=True)
class CompactTraining:
    """How to train.

    Attributes
    ----------
    out
        Folder for the checkpoint and the weights. A run that finds a
        checkpoint there goes on with it.
    scenes
        Number of simulated movies.
    movies
        Folders of real movies (`images.tif`, `labels.tif`) to mix in.
    movie_share
        Share of the clips cut from real movies.
    minutes
        Time to train; the learning rate falls to 0 over it.
    batch_size, clip_length
        Clips a step, frames a clip.
    learning_rate
        Its highest value.
    seed
        Of all random choices.
    workers
        Processes that simulate and cut clips.
    """

    out: Path
    scenes: int = 400
    movies: tuple[Path, ...] = ()
    movie_share: float = 0.15
    minutes: float = 60.0
    batch_size: int = 8
    clip_length: int = 6
    learning_rate: float = 2e-3
    seed: int = 0
    workers: int = 1


class ClipStream(SeededStream[Clips]):
    """An endless stream of random batches."""

    def __init__(self, scenes: list[Scene], recipe: CompactTraining, start: int) -> None:
        super().__init__(recipe.seed, start)
        self.scenes = scenes
        self.recipe = recipe
        self.simulated: list[list[Track]] = []
        self.real: list[list[Track]] = []
        for index, scene in enumerate(scenes):
            tracks = find_tracks(scene, index)
            if tracks:
                (self.simulated if scene.exact else self.real).append(tracks)

    def batch(self, rng: np.random.Generator) -> Clips:
        """Return one batch; see `SeededStream`."""
        return collate([self._sample(rng) for _ in range(self.recipe.batch_size)])

    def _sample(self, rng: np.random.Generator) -> Clips:
        real = bool(self.real) and rng.random() < self.recipe.movie_share
        movies: list[list[Track]] = self.real if real else self.simulated
        # First a movie, then an object: crowded movies would dominate otherwise.
        tracks = movies[int(rng.integers(len(movies)))]
        ending = [track for track in tracks if track.ends]
        if ending and rng.random() < ENDING_SHARE:
            tracks = ending
        track = tracks[int(rng.integers(len(tracks)))]
        return sample_clip(rng, self.scenes[track.scene], track, length=self.recipe.clip_length)


def train(recipe: CompactTraining, *, report: Callable[[str], None] | None = None) -> Path:
    """Train and write `compact.safetensors` with its card.

    Parameters
    ----------
    recipe
        How to train.
    report
        Called with a line of progress every 20 steps.

    Returns
    -------
    Path
        The weights file.
    """
    scenes = gather_scenes(recipe)
    torch.manual_seed(recipe.seed)
    fitted = fit(
        CompactNetwork(),
        recipe,
        stream=lambda step: ClipStream(scenes, recipe, step),
        losses=roll_out,
        report=report,
    )
    return write_weights(
        fitted,
        recipe,
        name="compact",
        data=describe_data(recipe),
        command="napari-vos train compact",
        training_jaccard=fitted.losses.get("jaccard", math.nan),
    )

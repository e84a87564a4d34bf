"""The recipe of our own MAST weights: learning to track without any label.

Lai, Lu, Xie, "MAST: A Memory-Augmented Self-Supervised Tracker", CVPR 2020,
section 4: first pairs of frames, then several references, at last references
that are further apart.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor

from napari_vos import checkpoints
from napari_vos.frames import FrameStack
from napari_vos.io import open_frames
from napari_vos.networks.mast import (
    STRIDE,
    Mast,
    MastSmall,
    Reference,
    drop_channel,
    read,
    reconstruction_loss,
)
from napari_vos.training.loop import Fitted, SeededStream, fit, write_weights
from napari_vos.training.movies import Clips, Movie, crop_side, cut_clip, load_movie
from napari_vos.training.scenes import scenes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

RADIUS = 6
"""Of the windows of candidates while learning, as the authors have it."""

HIDDEN = (1, 2)
"""The channels of which one is hidden: a or b, or all but the detail of grey."""


@dataclass(frozen=True)
class MastTraining:
    """How to train.

    Attributes
    ----------
    out
        Folder for checkpoints and weights. A run that finds checkpoints there
        goes on with them.
    movies
        Time-lapses to learn from, of any kind that can be opened.
    scenes
        Number of simulated movies.
    movie_share
        How often a clip is cut from `movies`, where there are scenes too.
    start_from
        Weights to begin with; None for random ones.
    minutes
        Time to train, all stages together.
    batch_size
        Clips a step.
    crop
        Side of the clips, in pixels.
    learning_rate
        Its highest value; it falls to 0 in each stage.
    seed
        Of all random choices.
    workers
        Processes that simulate.
    """

    out: Path
    movies: tuple[Path, ...] = ()
    scenes: int = 400
    movie_share: float = 0.15
    start_from: Path | None = None
    minutes: float = 60.0
    batch_size: int = 4
    crop: int = 96
    learning_rate: float = 1e-3
    seed: int = 0
    workers: int = 1


class Stage(NamedTuple):
    """A part of the training.

    Attributes
    ----------
    name
        Of its folder.
    share
        Of the time.
    ages
        Sets of ages of references, in frames; each batch takes one.
    """

    name: str
    share: float
    ages: tuple[tuple[int, ...], ...]


STAGES = (
    Stage("pairs", 0.5, ((1,), (2,))),
    Stage("several", 0.4, ((3, 2, 1), (5, 3, 1))),
    Stage("apart", 0.1, ((20, 3, 1), (35, 3, 1), (50, 3, 1))),
)
"""Old references are read in two steps, also where a movie is too short for their age."""


class Movies(NamedTuple):
    """What clips are cut from, of each kind each movie as often as any other."""

    real: Sequence[Movie]
    simulated: Sequence[Movie]


class ClipStream(SeededStream[Clips]):
    """An endless stream of random batches.

    Parameters
    ----------
    movies
        What clips are cut from.
    recipe, stage
        How.
    start
        Number of the first batch.
    """

    def __init__(self, movies: Movies, recipe: MastTraining, stage: Stage, start: int) -> None:
        super().__init__(recipe.seed, start)
        self.movies, self.recipe, self.stage = movies, recipe, stage
        self.side = crop_side([*movies.real, *movies.simulated], recipe.crop)

    def batch(self, rng: np.random.Generator) -> Clips:
        """Return one batch; see `SeededStream`."""
        ages = self.stage.ages[int(rng.integers(len(self.stage.ages)))]
        clips = [
            cut_clip(rng, self._movie(rng), ages=ages, side=self.side)
            for _ in range(self.recipe.batch_size)
        ]
        return Clips(torch.stack(clips), torch.tensor(ages))

    def _movie(self, rng: np.random.Generator) -> Movie:
        real, simulated = self.movies
        if not simulated or (real and rng.random() < self.recipe.movie_share):
            return real[int(rng.integers(len(real)))]
        return simulated[int(rng.integers(len(simulated)))]


class Losses(NamedTuple):
    """What is followed while learning.

    Attributes
    ----------
    reconstructed
        Loss of the hidden channel as it is read from the references.
    copied
        The same, were it taken from the youngest reference as it lies: what
        doing nothing gives.
    """

    reconstructed: Tensor
    copied: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.reconstructed


def reconstruct(network: Mast, clips: Clips, generator: torch.Generator) -> Losses:
    """Hide a channel of clips, and read it in the last frame from those before."""
    channel = HIDDEN[int(torch.randint(len(HIDDEN), (), generator=generator))]
    shown, hidden = drop_channel(clips.frames, channel)
    features = network(shown.flatten(0, 1)).unflatten(0, shown.shape[:2])
    values = hidden[..., ::STRIDE, ::STRIDE]
    references = [
        Reference(features[:, index], values[:, index], gap)
        for index, gap in enumerate(clips.gaps.tolist())
    ]
    reconstructed = read(features[:, -1], references, radius=RADIUS)
    return Losses(
        reconstruction_loss(reconstructed, hidden[:, -1]),
        reconstruction_loss(values[:, -2], hidden[:, -1]),
    )


def train(recipe: MastTraining, *, report: Callable[[str], None] | None = None) -> Path:
    """Train and write `mast_small.safetensors` with its card.

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

    Raises
    ------
    NapariVosError
        If a movie can't be opened or has one frame alone, or `start_from` holds
        other weights.
    """
    recipe.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    network = MastSmall()
    if recipe.start_from is not None:
        network = cast("MastSmall", checkpoints.load_network("mast_small", recipe.start_from))
    movies = _gather(recipe)
    steps = 0
    for number, stage in enumerate(STAGES, 1):
        part = replace(
            recipe,
            out=recipe.out / f"{number}-{stage.name}",
            minutes=recipe.minutes * stage.share,
        )
        fitted = _fit_stage(network, movies, part, stage, report)
        network = cast("MastSmall", copy.deepcopy(fitted.average))
        steps += fitted.steps
    return write_weights(
        replace(fitted, steps=steps),
        recipe,
        name="mast_small",
        data="; ".join(
            [f"{recipe.scenes} simulated movies"] * (recipe.scenes > 0)
            + [path.name for path in recipe.movies]
        ),
        command="napari-vos train mast",
        reconstructed=fitted.losses["reconstructed"],
        copied=fitted.losses["copied"],
    )


def _fit_stage(
    network: MastSmall,
    movies: Movies,
    recipe: MastTraining,
    stage: Stage,
    report: Callable[[str], None] | None,
) -> Fitted:
    recipe.out.mkdir(exist_ok=True)
    return fit(
        network.train(),
        recipe,
        stream=lambda step: ClipStream(movies, recipe, stage, step),
        losses=reconstruct,
        report=report,
    )


def _gather(recipe: MastTraining) -> Movies:
    return Movies(
        [load_movie(open_frames(path)) for path in recipe.movies],
        [load_movie(FrameStack(scene.images, axes="TYX")) for scene in scenes_of(recipe)],
    )

"""The recipe of the refinement network's weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

from napari_vos.engines.windows import standardize
from napari_vos.networks.pointrend import sample_points
from napari_vos.networks.refinement import RefinementNetwork, describe
from napari_vos.training.loop import SeededStream, fit, write_weights
from napari_vos.training.outlines import Outlines, sample_outlines
from napari_vos.training.points import choose_points, draw_points
from napari_vos.training.scenes import Scene, scenes_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

N_POINTS = 196
"""Points at which an object is compared with the truth, as in the paper's instance heads."""

OVERSAMPLING = 20
"""Candidates drawn per point: a canvas is much larger than the outlines on it."""

INTERIOR = 0.75
"""Side of the part of a canvas that points lie in; beyond it features lack context."""


@dataclass(frozen=True)
class RefinementTraining:
    """How to train.

    Attributes
    ----------
    out
        Folder for the checkpoint and the weights. A run that finds a
        checkpoint there goes on with it.
    scenes
        Number of simulated movies.
    minutes
        Time to train; the learning rate falls to 0 over it.
    batch_size
        Canvases a step.
    learning_rate
        Its highest value.
    seed
        Of all random choices.
    workers
        Processes that simulate.
    """

    out: Path
    scenes: int = 400
    minutes: float = 20.0
    batch_size: int = 8
    learning_rate: float = 2e-3
    seed: int = 0
    workers: int = 1


class RefinementLosses(NamedTuple):
    """Scalars: what is minimised, and the share of wrong points after and before refinement."""

    total: torch.Tensor
    wrong: torch.Tensor
    wrong_before: torch.Tensor


class OutlineStream(SeededStream[Outlines]):
    """An endless stream of random batches."""

    def __init__(self, scenes: list[Scene], recipe: RefinementTraining, start: int) -> None:
        super().__init__(recipe.seed, start)
        self.scenes = [scene for scene in scenes if scene.labels.any()]
        self.recipe = recipe

    def batch(self, rng: np.random.Generator) -> Outlines:
        """Return one batch; see `SeededStream`."""
        chosen = rng.integers(len(self.scenes), size=self.recipe.batch_size)
        samples = [sample_outlines(rng, self.scenes[index]) for index in chosen]
        return Outlines(*(torch.stack(parts) for parts in zip(*samples, strict=True)))


def compare(
    network: RefinementNetwork, outlines: Outlines, generator: torch.Generator
) -> RefinementLosses:
    """Predict at points chosen where coarse masks are uncertain, and compare with the truth."""
    batch, n_objects = outlines.truth.shape[:2]
    maps = [part.flatten(0, 1)[:, None] for part in (outlines.own, outlines.others, outlines.truth)]
    own, others, truth = maps
    drawn = draw_points(batch * n_objects, N_POINTS, oversampling=OVERSAMPLING, generator=generator)
    candidates, elsewhere = ((INTERIOR * (points - 0.5) + 0.5).to(own.device) for points in drawn)
    points = choose_points(own - 0.5, candidates, elsewhere, N_POINTS)
    octaves = outlines.octaves.repeat_interleave(n_objects)[:, None].expand(-1, N_POINTS)
    coarse = describe(
        sample_points(own, points)[:, 0], sample_points(others, points)[:, 0], octaves
    )
    features = network.encode(standardize(outlines.images))
    together = points.reshape(batch, n_objects * N_POINTS, 2)
    fine = torch.cat([sample_points(level, together) for level in features], dim=1)
    fine = fine.reshape(batch, -1, n_objects, N_POINTS).movedim(2, 1).flatten(0, 1)
    logits = network(coarse, fine)
    target = sample_points(truth, points)
    inside = target > 0.5
    return RefinementLosses(
        functional.binary_cross_entropy_with_logits(logits, target),
        ((logits > 0) != inside).float().mean(),
        ((coarse[:, :1] > 0.5) != inside).float().mean(),
    )


def train(recipe: RefinementTraining, *, report: Callable[[str], None] | None = None) -> Path:
    """Train and write `refinement.safetensors` with its card.

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
    recipe.out.mkdir(parents=True, exist_ok=True)
    scenes = list(scenes_of(recipe))
    torch.manual_seed(recipe.seed)
    fitted = fit(
        RefinementNetwork(),
        recipe,
        stream=lambda step: OutlineStream(scenes, recipe, step),
        losses=compare,
        report=report,
    )
    return write_weights(
        fitted,
        recipe,
        name="refinement",
        data=f"{recipe.scenes} simulated movies",
        command="napari-vos train refinement",
        training_wrong=fitted.losses["wrong"],
        training_wrong_before=fitted.losses["wrong_before"],
    )

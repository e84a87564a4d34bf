"""The recipe of the refinement network's weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

from napari_vos.engines.windows import standardize
from napari_vos.networks.pointrend import sample_points
from napari_vos.networks.refinement import NEIGHBOURHOOD, Known, RefinementNetwork
from napari_vos.training.loop import SeededStream, fit, write_weights
from napari_vos.training.outlines import RIM, Outlines, sample_outlines
from napari_vos.training.points import choose_points, draw_points
from napari_vos.training.scenes import Scene, gather_scenes

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

N_POINTS = 392
"""Points at which an object is compared with the truth; the paper has half as many."""

OVERSAMPLING = 20
"""Candidates drawn per point: a canvas is much larger than the outlines on it."""


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
    movies
        Folders of real movies (`images.tif`, `labels.tif`) to mix in.
    movie_share
        Share of the pieces cut from real movies.
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
    movies: tuple[Path, ...] = ()
    movie_share: float = 0.3
    minutes: float = 20.0
    batch_size: int = 4
    learning_rate: float = 3e-3
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
        filled = [scene for scene in scenes if scene.labels.any()]
        self.simulated = [scene for scene in filled if scene.exact]
        self.real = [scene for scene in filled if not scene.exact]
        self.recipe = recipe

    def batch(self, rng: np.random.Generator) -> Outlines:
        """Return one batch; see `SeededStream`."""
        samples = [sample_outlines(rng, self._scene(rng)) for _ in range(self.recipe.batch_size)]
        return Outlines(*(torch.stack(parts) for parts in zip(*samples, strict=True)))

    def _scene(self, rng: np.random.Generator) -> Scene:
        is_real = bool(self.real) and rng.random() < self.recipe.movie_share
        scenes = self.real if is_real else self.simulated
        return scenes[int(rng.integers(len(scenes)))]


def compare(
    network: RefinementNetwork, outlines: Outlines, generator: torch.Generator
) -> RefinementLosses:
    """Predict at points chosen where coarse masks are uncertain, and compare with the truth."""
    batch, n_objects, size, _ = outlines.truth.shape
    planes = outlines.known, outlines.others, outlines.given, outlines.truth
    maps = torch.stack(planes, dim=2).flatten(0, 1)
    drawn = draw_points(batch * n_objects, N_POINTS, oversampling=OVERSAMPLING, generator=generator)
    candidates, elsewhere = (centers_within(points, size).to(maps.device) for points in drawn)
    points = choose_points(maps[:, :1] - 0.5, candidates, elsewhere, N_POINTS)
    own, others, given, target = sample_points(maps, points).unbind(dim=1)
    octaves = outlines.octaves.repeat_interleave(n_objects)[:, None]
    around = masks_around(outlines.own.flatten(0, 1), points, 2**octaves / size)
    features = network.encode(standardize(outlines.images), outlines.layout)
    together = points.reshape(batch, n_objects * N_POINTS, 2)
    fine = torch.cat([sample_points(level, together) for level in features], dim=1)
    fine = fine.reshape(batch, -1, n_objects, N_POINTS).movedim(2, 1).flatten(0, 1)
    logits = network(Known(own, others, given, octaves.expand_as(own), around), fine)[:, 0]
    inside = target > 0.5
    return RefinementLosses(
        functional.binary_cross_entropy_with_logits(logits, target),
        ((logits > 0) != inside).float().mean(),
        ((own > 0.5) != inside).float().mean(),
    )


def centers_within(points: torch.Tensor, size: int) -> torch.Tensor:
    """Return the centres of pixels next to points, away from the edges of a piece.

    The refiner asks at the centres of pixels too, where masks are what they were given as.
    """
    return ((RIM + (size - 2 * RIM) * points).floor() + 0.5) / size


def masks_around(own: torch.Tensor, points: torch.Tensor, cell: torch.Tensor) -> torch.Tensor:
    """Return `Known.around` from masks (B, S, S), points (B, N, 2), and cells' sides (B, 1)."""
    steps = torch.arange(NEIGHBOURHOOD, device=own.device) - NEIGHBOURHOOD // 2
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    offsets = torch.stack([x, y], dim=-1).reshape(1, -1, 1, 2) * cell[..., None, None]
    places = (points[:, None] + offsets).clamp(0, 1)
    sampled = sample_points(own[:, None], places.flatten(1, 2))
    return sampled.reshape(len(own), NEIGHBOURHOOD**2, -1)


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
    scenes = gather_scenes(recipe)
    torch.manual_seed(recipe.seed)
    network = RefinementNetwork()
    for part in network.head.predictor.parameters():
        torch.nn.init.zeros_(part)  # it begins with the coarse masks
    fitted = fit(
        network,
        recipe,
        stream=lambda step: OutlineStream(scenes, recipe, step),
        losses=compare,
        report=report,
    )
    return write_weights(
        fitted,
        recipe,
        name="refinement",
        data=", ".join(
            [f"{recipe.scenes} simulated movies", *(folder.name for folder in recipe.movies)]
        ),
        command="napari-vos train refinement",
        training_wrong=fitted.losses["wrong"],
        training_wrong_before=fitted.losses["wrong_before"],
    )

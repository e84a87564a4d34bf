"""The recipe of the weights that find cells."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from napari_vos.checkpoints import DESIGN
from napari_vos.errors import NapariVosError
from napari_vos.io.coco import open_coco
from napari_vos.metrics import find_annotation
from napari_vos.networks.yolact import ACTIVATIONS, CELLS, Design, Yolact
from napari_vos.training.coco import LabelledImage
from napari_vos.training.fields import (
    Fields,
    LabelledFrames,
    LabelledMovie,
    sample_field,
    truth_of,
)
from napari_vos.training.loop import SeededStream, fit, write_weights
from napari_vos.training.scenes import open_scene, scenes_of
from napari_vos.training.yolact import Losses, YolactLoss, objectness_loss, sigmoid_focal_loss

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np


_LOSSES = {"sigmoid": sigmoid_focal_loss, "objectness": objectness_loss}
"""Of classes, by the scores they are for; any other one is for those of a softmax."""


@dataclass(frozen=True)
class InstancesTraining:
    """How to train.

    Attributes
    ----------
    out
        Folder for the checkpoint and the weights. A run that finds a
        checkpoint there goes on with it.
    scenes
        Number of simulated movies.
    movies
        Folders of real movies (`images.tif`, `labels.tif`) to mix in. What has no
        mask is background on those frames alone that a `meta.json` beside them
        lists as `annotated_frames`.
    coco
        JSON files of annotated images in the format of COCO to mix in as real movies:
        whatever their categories, all instances are cells; crowds are not judged.
    movie_share
        Share of the fields cut from real movies.
    minutes
        Time to train; the learning rate falls to 0 over it.
    batch_size
        Fields a step.
    learning_rate
        Its highest value.
    seed
        Of all random choices.
    workers
        Processes that simulate.
    design
        Of the network; it goes along with the weights.
    loss
        What is made small. Its class loss is that of the design's `class_scores`, if these
        aren't those of a softmax, and its activation of masks the design's.

    Raises
    ------
    NapariVosError
        If design and loss don't go together, or detectors can't use the masks.
    """

    out: Path
    scenes: int = 400
    movies: tuple[Path, ...] = ()
    coco: tuple[Path, ...] = ()
    movie_share: float = 0.15
    minutes: float = 60.0
    batch_size: int = 8
    learning_rate: float = 1e-3
    seed: int = 0
    workers: int = 1
    design: Design = CELLS
    loss: YolactLoss = field(default_factory=YolactLoss)

    def __post_init__(self) -> None:
        """Check that weights of this recipe can be used."""
        if self.design.direct_masks:
            raise NapariVosError(
                f"direct_masks is {self.design.direct_masks}; the detector of cells combines "
                "prototypes. Leave it 0."
            )
        activation, class_loss = self.loss.masks.activation, self.loss.class_loss
        known = torch.sigmoid, ACTIVATIONS[self.design.mask_activation]
        is_strange = class_loss in _LOSSES.values()
        own_loss = _LOSSES.get(self.design.class_scores)
        if activation not in known or (is_strange and class_loss is not own_loss):
            raise NapariVosError(
                f"The loss isn't one for mask_activation {self.design.mask_activation!r} and "
                f"class_scores {self.design.class_scores!r}. Say these in the design alone."
            )


class FieldStream(SeededStream[Fields]):
    """An endless stream of random batches."""

    def __init__(
        self,
        simulated: Sequence[LabelledFrames],
        real: Sequence[LabelledFrames],
        recipe: InstancesTraining,
        start: int,
    ) -> None:
        super().__init__(recipe.seed, start)
        self.simulated = simulated
        self.real = real
        self.recipe = recipe

    def batch(self, rng: np.random.Generator) -> Fields:
        """Return one batch; see `SeededStream`."""
        samples = [sample_field(rng, self._choose(rng)) for _ in range(self.recipe.batch_size)]
        return Fields(*(torch.cat(parts) for parts in zip(*samples, strict=True)))

    def _choose(self, rng: np.random.Generator) -> LabelledFrames:
        real = self.real and (not self.simulated or rng.random() < self.recipe.movie_share)
        movies = self.real if real else self.simulated
        return movies[int(rng.integers(len(movies)))]


def loss_of(design: Design, loss: YolactLoss) -> YolactLoss:
    """Return the loss with the activation and the class loss that a design is for."""
    activation = ACTIVATIONS[design.mask_activation]
    return replace(
        loss,
        class_loss=_LOSSES.get(design.class_scores, loss.class_loss),
        masks=replace(loss.masks, activation=activation),
    )


def compare(
    network: Yolact, fields: Fields, generator: torch.Generator, loss: YolactLoss | None = None
) -> Losses:
    """Predict the instances of fields and compare them with the truth."""
    truths = [truth_of(labels) for labels in fields.labels]
    fitting = replace(loss_of(network.design, loss or YolactLoss()), generator=generator)
    return fitting(network(fields.images), truths, score_masks=network.maskiou_net)


def train(recipe: InstancesTraining, *, report: Callable[[str], None] | None = None) -> Path:
    """Train and write `cells.safetensors` with its card.

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
    movies = (LabelledMovie(scene, range(len(scene.labels))) for scene in scenes_of(recipe))
    simulated = [movie for movie in movies if movie.filled]
    images = [LabelledImage(image) for path in recipe.coco for image in open_coco(path).images]
    labelled: list[LabelledFrames] = [*map(_open_movie, recipe.movies), *images]
    real = [movie for movie in labelled if movie.filled]
    torch.manual_seed(recipe.seed)
    fitted = fit(
        Yolact(recipe.design, n_classes=2),
        recipe,
        stream=lambda step: FieldStream(simulated, real, recipe, step),
        losses=partial(compare, loss=recipe.loss),
        report=report,
    )
    return write_weights(
        fitted,
        recipe,
        name="cells",
        data="; ".join(
            [f"{recipe.scenes} simulated movies", *(m.name for m in (*recipe.movies, *recipe.coco))]
        ),
        command="napari-vos train instances",
        about={DESIGN: recipe.design.to_json()},
        training_boxes=fitted.losses["boxes"],
        training_classes=fitted.losses["classes"],
        training_masks=fitted.losses["masks"],
    )


def _open_movie(folder: Path) -> LabelledMovie:
    annotation = find_annotation(folder / "labels.tif")
    complete = () if annotation is None else annotation.complete_frames
    return LabelledMovie(open_scene(folder), complete)

"""The recipe of the interactive network's weights.

Simulated cells, marked as users mark them; and masks with mistakes, corrected.
Each window is looked at twice: the second time the network gets a click on its
own worst mistake.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional

from napari_vos import checkpoints
from napari_vos.engines.windows import mark_border, standardize
from napari_vos.networks.interaction import InteractionNetwork, thicken
from napari_vos.training.loop import SeededStream, fit, write_weights
from napari_vos.training.losses import mask_loss, mean_jaccard
from napari_vos.training.marked import Marked, sample_marked
from napari_vos.training.scenes import Scene, describe_data, gather_scenes

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from napari_vos.networks.compact import CompactNetwork, Encoder

DEEPEST = 12
"""Network pixels up to which the depth of a mistake is told."""


@dataclass(frozen=True)
class InteractionTraining:
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
        Share of the windows cut from real movies.
    minutes
        Time to train; the learning rate falls to 0 over it.
    batch_size
        Windows a step.
    learning_rate
        Its highest value.
    seed
        Of all random choices.
    workers
        Processes that simulate.
    """

    out: Path
    scenes: int = 320
    movies: tuple[Path, ...] = ()
    movie_share: float = 0.15
    minutes: float = 60.0
    batch_size: int = 16
    learning_rate: float = 2e-3
    seed: int = 0
    workers: int = 1


class InteractionLosses(NamedTuple):
    """Scalars: what is minimised, and J of the first masks and of the corrected ones."""

    total: Tensor
    jaccard: Tensor
    corrected_jaccard: Tensor


class MarkedStream(SeededStream[Marked]):
    """An endless stream of random batches."""

    def __init__(self, scenes: list[Scene], recipe: InteractionTraining, start: int) -> None:
        super().__init__(recipe.seed, start)
        self.recipe = recipe
        filled = [scene for scene in scenes if scene.labels.any()]
        self.simulated = [scene for scene in filled if scene.exact]
        self.real = [scene for scene in filled if not scene.exact]

    def batch(self, rng: np.random.Generator) -> Marked:
        """Return one batch; see `SeededStream`."""
        samples = [sample_marked(rng, self.choose(rng)) for _ in range(self.recipe.batch_size)]
        return Marked(*(torch.stack(parts) for parts in zip(*samples, strict=True)))

    def choose(self, rng: np.random.Generator) -> Scene:
        """Return the scene of the next window."""
        real = bool(self.real) and rng.random() < self.recipe.movie_share
        scenes = self.real if real else self.simulated
        return scenes[int(rng.integers(len(scenes)))]


def compare(
    network: InteractionNetwork, batch: Marked, generator: torch.Generator
) -> InteractionLosses:
    """Make masks, correct the worst mistake of each, and compare both with the truth."""
    image, others = mark_border(standardize(batch.images), batch.others, batch.visible)
    inside, outside = thicken(batch.inside), thicken(batch.outside)
    logits = network(image, batch.previous, others, inside, outside, batch.box)
    found = (logits > 0).float()
    inside, outside = click_on_mistake(found, batch.truth, batch.visible, generator)
    nothing = torch.zeros_like(batch.box)
    corrected = network(image, found, others, thicken(inside), thicken(outside), nothing)
    return InteractionLosses(
        mask_loss(logits, batch.truth) + mask_loss(corrected, batch.truth),
        mean_jaccard(logits > 0, batch.truth),
        mean_jaccard(corrected > 0, batch.truth),
    )


def click_on_mistake(
    found: Tensor, truth: Tensor, visible: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Click into the deepest part of what is most wrong: too little, or too much.

    Parameters
    ----------
    found, truth, visible
        (B, 1, S, S) in [0, 1].
    generator
        Chooses how large clicks are and, among equally deep pixels, where.

    Returns
    -------
    tuple[Tensor, Tensor]
        (B, 1, S, S) 0 and 1: clicks on the object and off it. A mask that is right
        is clicked on.
    """
    size, is_object = found.shape[-1], truth > 0.5
    lacking = (is_object & (found < 0.5)).float()
    surplus = (~is_object & (found > 0.5)).float() * visible
    too_little = lacking.sum(dim=(1, 2, 3)) >= surplus.sum(dim=(1, 2, 3))
    is_right = (lacking + surplus).sum(dim=(1, 2, 3)) == 0
    wrong = torch.where(too_little[:, None, None, None], lacking, surplus)
    wrong = torch.where(is_right[:, None, None, None], is_object.float(), wrong)
    depth = torch.zeros_like(wrong)
    core = wrong
    for _ in range(DEEPEST):
        depth += core
        core = -functional.max_pool2d(-core, 3, stride=1, padding=1)
    depth += torch.rand(depth.shape, generator=generator).to(depth.device) * (depth > 0)
    deepest = depth.flatten(1).argmax(dim=1)
    radius = (1 + 3 * torch.rand(len(found), generator=generator)).to(found.device)
    steps = torch.arange(size, device=found.device)
    down = (steps[None] - (deepest // size)[:, None]) ** 2
    along = (steps[None] - (deepest % size)[:, None]) ** 2
    disc = down[:, :, None] + along[:, None, :] <= radius[:, None, None] ** 2
    clicks = disc[:, None].float() * wrong
    on_object = (too_little | is_right)[:, None, None, None].float()
    return clicks * on_object, clicks * (1 - on_object)


def take_over(encoder: Encoder, other: Encoder) -> None:
    """Start an encoder from another one with fewer inputs or blocks, where they have the same."""
    own = encoder.state_dict()
    for name, value in other.state_dict().items():
        own[name][tuple(slice(size) for size in value.shape)] = value


def train(recipe: InteractionTraining, *, report: Callable[[str], None] | None = None) -> Path:
    """Train and write `interaction.safetensors` with its card.

    The encoder starts from that of the compact network in the package, which has
    seen more cells than this recipe has time for.

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
    network = InteractionNetwork()
    compact = checkpoints.load_network("compact", checkpoints.resolve(None, "compact"))
    take_over(network.encoder, cast("CompactNetwork", compact).image_encoder)
    fitted = fit(
        network,
        recipe,
        stream=lambda step: MarkedStream(scenes, recipe, step),
        losses=compare,
        report=report,
    )
    return write_weights(
        fitted,
        recipe,
        name="interaction",
        data=describe_data(recipe),
        command="napari-vos train interaction",
        training_jaccard=fitted.losses["jaccard"],
        training_corrected_jaccard=fitted.losses["corrected_jaccard"],
    )

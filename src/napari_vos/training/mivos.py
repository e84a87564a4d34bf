"""Fine-tuning the propagation network of MiVOS on frames that the user has labelled.

Cheng, Tai, Tang, "Modular Interactive Video Object Segmentation", CVPR 2021,
section 4, after Oh et al., "Video Object Segmentation using Space-Time Memory
Networks", ICCV 2019: clips of three frames, in which what was found in the second
frame is remembered for the third, all memories read without top-k, statistics of
batch norms frozen, and a cross entropy of the hardest pixels.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional

from napari_vos import checkpoints
from napari_vos.networks.mivos import PropagationNetwork, aggregate, sum_of_others
from napari_vos.networks.mivos.aggregation import SMALLEST
from napari_vos.networks.mivos.propagation import STRIDE
from napari_vos.training.labelled import Clips, LabelledFrames, cut_clip, gather_labelled
from napari_vos.training.loop import SeededStream, fit, write_weights
from napari_vos.training.losses import mean_jaccard

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from napari_vos.frames import FrameStack
    from napari_vos.metrics.evaluation import Labels

NETWORK = "mivos_propagation"

HARDEST = 0.15
"""Share of the pixels of a frame that are learned from: those that are worst."""


@dataclass(frozen=True)
class MivosTraining:
    """How to train.

    Attributes
    ----------
    out
        Folder for the checkpoint and the weights. A run that finds a
        checkpoint there goes on with it.
    start_from
        Weights to begin with: the authors', or such as this has made.
    minutes
        Time to train; the learning rate falls to 0 over it.
    batch_size
        Clips a step.
    crop
        Side of the clips as the network sees them, in pixels.
    learning_rate
        Its highest value.
    seed
        Of all random choices.
    """

    out: Path
    start_from: Path
    minutes: float = 30.0
    batch_size: int = 2
    crop: int = 256
    learning_rate: float = 1e-5
    seed: int = 0


class ClipStream(SeededStream[Clips]):
    """An endless stream of random batches."""

    def __init__(self, known: LabelledFrames, recipe: MivosTraining, start: int) -> None:
        super().__init__(recipe.seed, start)
        self.known, self.recipe = known, recipe
        longest = max(known.labels.shape[1:]) * known.scale
        self.side = min(recipe.crop, int(longest)) // STRIDE * STRIDE or STRIDE

    def batch(self, rng: np.random.Generator) -> Clips:
        """Return one batch; see `SeededStream`."""
        clips = [cut_clip(rng, self.known, side=self.side) for _ in range(self.recipe.batch_size)]
        return Clips(*(torch.cat(part) for part in zip(*clips, strict=True)))


class Losses(NamedTuple):
    """Scalars, each a mean over the clips and the frames found.

    Attributes
    ----------
    hardest
        Cross entropy of the hardest pixels.
    jaccard
        J of the objects.
    """

    hardest: Tensor
    jaccard: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.hardest


def roll_out(network: PropagationNetwork, batch: Clips, generator: torch.Generator) -> Losses:
    """Find the objects of the first frame of each clip in the two others, and compare."""
    del generator  # nothing is random here
    found = [
        losses
        for images, labels in zip(*batch, strict=True)
        for losses in _follow(network, images[:, None], labels)
    ]
    return Losses(*(torch.stack(part).mean() for part in zip(*found, strict=True)))


def _follow(network: PropagationNetwork, images: Tensor, labels: Tensor) -> list[Losses]:
    """Return the losses of the frames (3, 1, 3, S, S) of a clip but the first."""
    ids = torch.arange(1, int(labels[0].max()) + 1, device=labels.device)
    truth = (labels[:, None] == ids[:, None, None])[:, :, None].float()
    masks = truth[0]
    keys, values, losses = [], [], []
    for t in range(1, len(images)):
        key, value = network.memorize(images[t - 1], masks, sum_of_others(masks))
        keys.append(key)
        values.append(value)
        memory = torch.cat(keys, dim=2), torch.cat(values, dim=2)
        logits = network(network.encode(images[t]), *memory, top_k=None)
        probabilities = aggregate(logits.sigmoid())
        masks = probabilities[1:]
        losses.append(
            Losses(hardest_pixels(probabilities, labels[t]), mean_jaccard(masks > 0.5, truth[t]))
        )
    return losses


def hardest_pixels(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross entropy of the share `HARDEST` of the pixels of a frame.

    Parameters
    ----------
    probabilities
        (K+1, 1, H, W), background first.
    labels
        (H, W) int64, 0 to K.
    """
    logarithms = probabilities[:, 0].clamp(min=SMALLEST).log()
    pixel = functional.nll_loss(logarithms[None], labels[None], reduction="none").flatten()
    return pixel.topk(max(1, round(HARDEST * len(pixel)))).values.mean()


def train(
    frames: FrameStack,
    labels: Labels,
    recipe: MivosTraining,
    *,
    report: Callable[[str], None] | None = None,
) -> Path:
    """Train and write `mivos_propagation.safetensors` with its card.

    Its keys are those of the authors, so the engine takes it as it takes theirs.

    Parameters
    ----------
    frames
        The images.
    labels
        (T, Y, X) integers: masks on two frames or more, 0 on all others. An object has
        the same label on all frames, and what has none is taken for background.
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
        If there is nothing to learn from, the weights to begin with are of another
        network, or the folder holds a training on something else.
    """
    network = cast("PropagationNetwork", checkpoints.load_network(NETWORK, recipe.start_from))
    known = gather_labelled(frames, labels)
    recipe.out.mkdir(parents=True, exist_ok=True)
    begun_with = checkpoints.sha256_of(recipe.start_from)
    fitted = fit(
        network,  # in evaluation mode: statistics of batch norms stay as they are
        recipe,
        stream=lambda step: ClipStream(known, recipe, step),
        losses=roll_out,
        report=report,
        data=hashlib.sha256(f"{known.fingerprint} {begun_with}".encode()).hexdigest(),
    )
    return write_weights(
        fitted,
        recipe,
        name=NETWORK,
        data=f"{len(known.times)} labelled frames of {Path(known.name).name}",
        command="napari-vos train mivos",
        licence=f"that of the weights it began with, {recipe.start_from.name} ({begun_with})",
        training_jaccard=fitted.losses["jaccard"],
    )

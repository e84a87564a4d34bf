"""Fine-tuning the networks of MiVOS on frames that the user has labelled.

Propagation learns as in Cheng, Tai, Tang, "Modular Interactive Video Object
Segmentation", CVPR 2021, section 4: clips of three frames, statistics of batch norms
frozen, and a cross entropy of the hardest pixels. Fusion learns from what that network
makes of such clips: the masks of a frame as they come from one user frame, and as they
come from another one that has been corrected.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from napari_vos import checkpoints
from napari_vos.errors import FramesError
from napari_vos.training.labelled import ClipStream, gather_labelled
from napari_vos.training.loop import fit, write_weights
from napari_vos.training.mivos_rollout import fuse, roll_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_vos.frames import FrameStack
    from napari_vos.metrics.evaluation import Labels
    from napari_vos.networks.mivos import PropagationNetwork

PROPAGATION, FUSION = "mivos_propagation", "mivos_fusion"


@dataclass(frozen=True)
class MivosTraining:
    """How to train.

    Attributes
    ----------
    out
        Folder for the checkpoint and the weights. A run that finds a
        checkpoint there goes on with it.
    weights
        Propagation network to go on training: the authors', or one that this has made.
    fusion_weights
        Fusion network to go on training instead, with masks of that propagation network.
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
    weights: Path
    fusion_weights: Path | None = None
    minutes: float = 30.0
    batch_size: int = 2
    crop: int = 256
    learning_rate: float = 1e-5
    seed: int = 0


def train(
    frames: FrameStack,
    labels: Labels,
    recipe: MivosTraining,
    *,
    report: Callable[[str], None] | None = None,
) -> Path:
    """Train and write `mivos_propagation.safetensors` or `mivos_fusion.safetensors`, with a card.

    Its keys are those of the authors, so the engine takes it as it takes theirs.

    Parameters
    ----------
    frames
        The images.
    labels
        (T, Y, X) integers: masks on two frames or more, on three for fusion, 0 on all
        others. An object has the same label on all frames, and what has none is taken
        for background.
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
    propagation = cast("PropagationNetwork", checkpoints.load_network(PROPAGATION, recipe.weights))
    name, network, losses = PROPAGATION, cast("Any", propagation), cast("Any", roll_out)
    if recipe.fusion_weights is not None:
        name, network = FUSION, checkpoints.load_network(FUSION, recipe.fusion_weights)
        losses = partial(fuse, propagation=propagation)
    known = gather_labelled(frames, labels)
    triples = known.clips
    if name == FUSION:
        triples = tuple(triple for triple in triples if triple[1] != triple[2])
    if not triples:
        raise FramesError(
            f"No object is on three labelled frames of '{frames.name}', and fusion learns on one "
            "between two others. Label the same objects on three frames or more."
        )
    recipe.out.mkdir(parents=True, exist_ok=True)
    files = [path for path in (recipe.weights, recipe.fusion_weights) if path is not None]
    begun_with = [known.fingerprint, *map(checkpoints.sha256_of, files)]
    fitted = fit(
        network,  # in evaluation mode: statistics of batch norms stay as they are
        recipe,
        stream=lambda step: ClipStream(known, triples, recipe, step),
        losses=losses,
        report=report,
        data=hashlib.sha256(" ".join(begun_with).encode()).hexdigest(),
    )
    return write_weights(
        fitted,
        recipe,
        name=name,
        data=f"{len(known.times)} labelled frames of {Path(known.name).name}",
        command="napari-vos train mivos",
        licence=f"that of the weights it began with: {files[-1].name} ({begun_with[-1]})",
        training_jaccard=fitted.losses["jaccard"],
    )

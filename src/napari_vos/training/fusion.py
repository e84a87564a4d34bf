"""The recipe of the fusion network's weights.

Simulated movies are propagated from their first frame, then corrected on the
last one and propagated back, by the compact engine itself. So the network
learns from the very mistakes it is there to mend.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from napari_vos.configs import CompactConfig
from napari_vos.engines.base import Span
from napari_vos.engines.compact import CompactPropagator
from napari_vos.engines.compact_span import SpanRun
from napari_vos.engines.places import crop, region_of
from napari_vos.frames import FrameStack
from napari_vos.networks.compact_fusion import CompactFusionNetwork, fuse_linearly
from napari_vos.store.evidence import FrameEvidence, ObjectEvidence, Source, window_of
from napari_vos.training.loop import SeededStream, fit, write_weights
from napari_vos.training.losses import mask_loss, mean_jaccard
from napari_vos.training.scenes import Scene, scenes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

MOST_OBJECTS = 8
"""Objects of a movie that are followed: many movies teach more than many cells of one."""


@dataclass(frozen=True)
class FusionTraining:
    """How to train.

    Attributes
    ----------
    out
        Folder for the checkpoint and the weights.
    scenes
        Number of simulated movies.
    minutes
        Time to train, after the movies were propagated.
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
    minutes: float = 12.0
    batch_size: int = 16
    learning_rate: float = 2e-3
    seed: int = 0
    workers: int = 1


class Fusions(NamedTuple):
    """A batch of windows with two masks each, and the truth.

    Attributes
    ----------
    image
        (B, 4, S, S).
    old, new
        (B, 1, S, S) in [0, 1].
    attention
        (B, 2, S, S) in [0, 1].
    distance
        (B, 2) in [0, 1].
    truth
        (B, 1, S, S) in [0, 1].
    """

    image: Tensor
    old: Tensor
    new: Tensor
    attention: Tensor
    distance: Tensor
    truth: Tensor


class FusionLosses(NamedTuple):
    """Scalars: the loss, and J of the fused masks and of the linear fusion."""

    mask: Tensor
    jaccard: Tensor
    linear_jaccard: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.mask


def train(recipe: FusionTraining, *, report: Callable[[str], None] | None = None) -> Path:
    """Train and write `compact_fusion.safetensors` with its card; return the file."""
    recipe.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(recipe.seed)
    parts = []
    for index, scene in enumerate(scenes_of(recipe)):
        parts += collect(scene, rng)
        if report is not None and index % 20 == 19:
            report(f"{index + 1} movies, {sum(len(part.truth) for part in parts)} windows")
    windows = Fusions(*(torch.cat(part) for part in zip(*parts, strict=True)))
    torch.manual_seed(recipe.seed)
    fitted = fit(
        CompactFusionNetwork(),
        recipe,
        stream=lambda step: FusionStream(windows, recipe, step),
        losses=compare,
        report=report,
    )
    return write_weights(
        fitted,
        recipe,
        name="compact_fusion",
        data=f"{recipe.scenes} simulated movies, {len(windows.truth)} windows",
        command="napari-vos train fusion",
        training_jaccard=fitted.losses["jaccard"],
        linear_jaccard=fitted.losses["linear_jaccard"],
    )


def collect(scene: Scene, rng: np.random.Generator) -> list[Fusions]:
    """Propagate a movie from its first frame, then back from its last one; return the windows.

    Parameters
    ----------
    scene
        A movie with exact masks.
    rng
        Chooses how many frames are skipped, which makes the way longer.
    """
    every = int(rng.choice([1, 2, 3]))
    images, labels = scene.images[::every], scene.labels[::every]
    last = len(labels) - 1
    shared = np.intersect1d(labels[0], labels[last])
    object_ids = tuple(int(i) for i in rng.permutation(shared[shared > 0])[:MOST_OBJECTS])
    if not object_ids or last < 2:
        return []
    engine = CompactPropagator.create(
        FrameStack(images, axes="TYX"), config=CompactConfig(fusion="linear")
    )
    believed = _Believed({0: _evidence_of(labels[0], 0, object_ids)})
    object_ids = tuple(sorted(believed.frames[0].objects))
    for found in engine.propagate(Span(0, last, object_ids, (0,)), believed):
        believed.frames[found.t] = found
    corrected = _Believed(
        {0: believed.frames[0], last: _evidence_of(labels[last], last, object_ids)}, believed.frames
    )
    back = Span(last, 1, object_ids, (0, last), fuse_with=0)
    run = _CollectingRun(engine, back, corrected, labels)
    for t in back.frames:
        if not run.tracks:
            break
        corrected.frames[t] = run.step(t)
    return run.collected


class FusionStream(SeededStream[Fusions]):
    """An endless stream of random batches, mirrored and turned."""

    def __init__(self, windows: Fusions, recipe: FusionTraining, start: int) -> None:
        super().__init__(recipe.seed, start)
        self.windows = windows
        self.recipe = recipe

    def batch(self, rng: np.random.Generator) -> Fusions:
        """Return one batch; see `SeededStream`."""
        chosen = torch.from_numpy(rng.integers(0, len(self.windows.truth), self.recipe.batch_size))
        turns, mirrored = int(rng.integers(4)), bool(rng.random() < 0.5)
        return Fusions(*(_turned(part[chosen].float(), turns, mirrored) for part in self.windows))


def _turned(part: Tensor, turns: int, mirrored: bool) -> Tensor:
    if part.dim() < 4:
        return part
    turned = torch.rot90(part, turns, (-2, -1))
    return turned.flip(-1) if mirrored else turned


def compare(
    network: CompactFusionNetwork, batch: Fusions, generator: torch.Generator
) -> FusionLosses:
    """Fuse a batch and compare with the truth."""
    del generator  # nothing is random here
    *seen, truth = batch
    logits = network(*seen)
    linear = fuse_linearly(batch.old, batch.new, batch.distance)
    return FusionLosses(
        mask_loss(logits, truth),
        mean_jaccard(logits > 0, truth),
        mean_jaccard(linear > 0.5, truth),
    )


class _Believed:
    """Evidence of the frames of one movie, held in memory; see `EvidenceReader`."""

    def __init__(
        self,
        frames: dict[int, FrameEvidence],
        before: Mapping[int, FrameEvidence] | None = None,
    ) -> None:
        self.frames = frames
        self._before = before or {}

    def read(self, t: int) -> FrameEvidence:
        return self.frames.get(t, FrameEvidence(t, {}))

    def before(self, t: int) -> FrameEvidence:
        return self._before.get(t, FrameEvidence(t, {}))

    def uncorrected(self, t: int) -> FrameEvidence:
        return self.before(t)

    def state(self, t: int, span: Span) -> Mapping[str, NDArray[np.generic]]:
        return self.frames[t].state


class _CollectingRun(SpanRun):
    """A span in work that notes what there was to fuse, beside the truth."""

    def __init__(
        self,
        engine: CompactPropagator,
        span: Span,
        evidence: _Believed,
        labels: NDArray[np.uint16],
    ) -> None:
        super().__init__(engine, span, evidence)
        self.labels = labels
        self.collected: list[Fusions] = []

    def fuse(self, t: int, new: Mapping[int, ObjectEvidence]) -> list[ObjectEvidence]:
        if self.fusion is not None:
            windows = self.fusion.windows(t, new, self.evidence.before(t).objects)
            for object_id, (place, window) in windows.items():
                region = region_of(place, self.shape)
                mask = (self.labels[t][region.slices] == object_id).astype(np.float32)
                truth = crop(mask[None], region, place, outside="zeros")
                self.collected.append(Fusions(*(part[None].half() for part in (*window, truth))))
        return super().fuse(t, new)


def _evidence_of(labels: NDArray[np.uint16], t: int, object_ids: tuple[int, ...]) -> FrameEvidence:
    """Return the true masks of one frame as a user would have given them."""
    objects = {}
    for object_id in object_ids:
        mask = labels == object_id
        box = window_of(mask)
        if box is not None:
            objects[object_id] = ObjectEvidence(
                object_id, box, mask[box.slices].astype(np.float16), 1.0, Source.USER
            )
    return FrameEvidence(t, objects)

"""Training the detector of cells on annotated frames of the user's own."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch

from napari_vos import checkpoints
from napari_vos.checkpoints import DESIGN
from napari_vos.configs import CellsConfig
from napari_vos.engines.cells import OBJECT_DIAMETER, OVERLAP, SIDE, CellDetector
from napari_vos.engines.yolact_network import RunningYolact
from napari_vos.metrics import InstanceScores
from napari_vos.training.fields import Fields, sample_field
from napari_vos.training.instances import compare
from napari_vos.training.loop import Fitted, Learner, write_weights

if TYPE_CHECKING:
    from napari_vos.networks.yolact import Yolact
    from napari_vos.training.own_labels import AnnotatedFrames

CHECKS = 8
"""How often the weights are judged while the time runs."""

PATIENCE = 5
"""Judgements in a row that are clearly worse than the best one, after which training stops."""

WARM_UP = 10
"""Steps over which the learning rate rises."""

SMALLEST_DIAMETER = 4.0
"""That a detector can be told."""

LONG = OBJECT_DIAMETER / (OVERLAP * SIDE)
"""Of a typical cell's length: with a larger diameter it fits into what neighbouring tiles share,
so that one of them shows the cell as a whole."""

SCALES = 0.25
"""See `sample_field`: the size of the user's cells is known."""

WEIGHTS = "cells.safetensors"

SCORE, SHARED = 0.3, 0.5
"""Thresholds of score and overlap at which is judged, those that detectors have by default."""


@dataclass(frozen=True)
class OwnCellsTraining:
    """How to train.

    Attributes
    ----------
    out
        Folder for the checkpoint, the weights, and `progress.png`. A run that finds a
        checkpoint there goes on with it.
    start_from
        Weights to begin with; None for those in the package.
    minutes
        Time to train at most; the learning rate falls to 0 over it.
    batch_size
        Fields a step.
    learning_rate
        Its highest value.
    held_out
        Share of the annotated frames that are kept for judgement.
    seed
        Of all random choices.
    """

    out: Path
    start_from: Path | None = None
    minutes: float = 5.0
    batch_size: int = 4
    learning_rate: float = 1e-3
    held_out: float = 0.2
    seed: int = 0


class Progress(NamedTuple):
    """How far training has come.

    Attributes
    ----------
    step
        Steps done; 0 before the first.
    minutes
        Time used.
    loss
        Smoothed; None before the first step.
    before
        How the weights to start from did on what was held out.
    best
        How those in the file do: the last ones hardly worse than the best. They were chosen
        by these scores, which are a little too good therefore.
    scores
        How those of this step do, if they were just judged.
    diameter
        What the detector is to be told: that of a typical cell in pixels, and more if cells
        are long.
    path
        The weights file.
    """

    step: int
    minutes: float
    loss: float | None
    before: InstanceScores
    best: InstanceScores
    scores: InstanceScores | None
    diameter: float
    path: Path


def learn(annotated: AnnotatedFrames, recipe: OwnCellsTraining) -> Generator[Progress]:
    """Train, and yield after every step.

    From the first yield on there is a weights file with its card, the best so far: stop
    at any time. Few cells are held out, and of weights whose AP they can't tell apart, by
    its standard error, the last ones count as the best. Training ends when its time is
    over, after `PATIENCE` judgements in a row that were clearly worse, or when the loss
    isn't finite any more.

    Parameters
    ----------
    annotated
        What to learn from and to be judged by.
    recipe
        How to train.

    Raises
    ------
    NapariVosError
        If there is but one cell, `start_from` holds other weights, or the folder a training
        on other images or masks.
    """
    training = _Training(annotated, recipe)
    yield training.judge()
    while training.share < 1 and training.n_worse < PATIENCE:
        n_judged = int(CHECKS * training.share)
        if not training.step():
            return
        yield training.judge() if CHECKS * training.share >= n_judged + 1 else training.progress()


def train(
    annotated: AnnotatedFrames,
    recipe: OwnCellsTraining,
    *,
    report: Callable[[str], None] | None = None,
) -> Progress:
    """Train to the end; see `learn`.

    Parameters
    ----------
    annotated, recipe
        See `learn`.
    report
        Called with a line at every judgement.

    Returns
    -------
    Progress
        The last one.
    """
    for progress in learn(annotated, recipe):
        if report is not None and progress.scores is not None:
            report(
                f"{progress.minutes:5.1f} min  step {progress.step}  AP50 "
                f"{progress.scores.ap50:.3f}  AP {progress.scores.ap:.3f}"
                + ("  kept" if progress.scores is progress.best else "")
            )
    return progress


class _Training:
    """What changes while training goes on."""

    def __init__(self, annotated: AnnotatedFrames, recipe: OwnCellsTraining) -> None:
        self.learned, self.held = annotated.hold_out(recipe.held_out)
        self.recipe = recipe
        self.data = annotated.fingerprint
        self.diameter = max(SMALLEST_DIAMETER, annotated.diameter, LONG * annotated.length)
        self.wider = self.diameter / annotated.diameter
        self.learner = Learner(_start(recipe), recipe.learning_rate, warm_up=WARM_UP)
        self.before: InstanceScores | None = None
        self.best: InstanceScores | None = None
        self.highest = 0.0
        self.n_worse = 0
        recipe.out.mkdir(parents=True, exist_ok=True)
        self.checkpoint = recipe.out / "checkpoint.pt"
        if self.checkpoint.exists():
            kept = self.learner.restore(self.checkpoint, data=self.data)
            self.before, self.best = (InstanceScores(**kept[key]) for key in ("before", "best"))
            self.highest, self.n_worse = kept["highest"], kept["n_worse"]
        self.generator = torch.Generator().manual_seed(recipe.seed + self.learner.step)
        self.begun: float | None = None

    @property
    def share(self) -> float:
        """How much of the time is over."""
        return self.learner.elapsed / (60 * self.recipe.minutes)

    @property
    def _error(self) -> float:
        """Standard error of the highest AP: the held-out cells are a sample."""
        n_cells = sum(len(np.unique(labels[labels > 0])) for labels in self.held.by_frame.values())
        return math.sqrt(self.highest * (1 - self.highest) / n_cells)

    def step(self) -> bool:
        """Learn from one batch; return False, and learn nothing, if its loss isn't finite.

        The time runs from the first step on: what was before has been judged by then.
        """
        if self.begun is None:
            self.begun = time.monotonic() - self.learner.elapsed
        rng = np.random.default_rng((self.recipe.seed, self.learner.step))
        samples = [
            sample_field(rng, self.learned, scales=SCALES, wider=self.wider)
            for _ in range(self.recipe.batch_size)
        ]
        batch = Fields(*(torch.cat(parts) for parts in zip(*samples, strict=True)))
        network = self.learner.network.train()
        losses = compare(network, self.learner.to_device(batch), self.generator)
        if not math.isfinite(losses.total.item()):
            return False
        self.learner.learn(losses, self.share)
        self.learner.elapsed = time.monotonic() - self.begun
        return True

    def judge(self) -> Progress:
        """Score the averaged weights; write them if none were clearly better, and a checkpoint."""
        average = self.learner.average.eval()
        running = RunningYolact(average, self.learner.device, torch.float32, {})
        config = CellsConfig(diameter=self.diameter)
        detector = CellDetector(self.learned.frames, config, running)
        scores = self.held.score(detector, score=SCORE, overlap=SHARED)
        self.before = self.before or scores
        self.highest = max(self.highest, scores.ap)
        self.n_worse += 1
        if self.best is None or scores.ap >= self.highest - self._error:
            self.best, self.n_worse = scores, 0
            self._write(scores)
        if self.begun is not None:
            self.learner.elapsed = time.monotonic() - self.begun
        precisions = self.learner.history.setdefault("AP50", [])
        precisions.append((self.learner.elapsed / 60, scores.ap50))
        self.learner.save(
            self.checkpoint,
            before=asdict(self.before),
            best=asdict(self.best),
            highest=self.highest,
            n_worse=self.n_worse,
            data=self.data,
        )
        return self.progress(scores)

    def progress(self, scores: InstanceScores | None = None) -> Progress:
        """Return how far it has come, judged at least once."""
        return Progress(
            self.learner.step,
            self.learner.elapsed / 60,
            sum(self.learner.smooth.values()) if self.learner.smooth else None,
            cast("InstanceScores", self.before),
            cast("InstanceScores", self.best),
            scores,
            self.diameter,
            self.recipe.out / WEIGHTS,
        )

    def _write(self, scores: InstanceScores) -> None:
        n_frames = len({*self.learned.filled, *self.held.filled})
        write_weights(
            Fitted(self.learner.average, self.learner.step, self.learner.smooth),
            self.recipe,
            name="cells",
            data=f"{n_frames} annotated frames of {Path(self.learned.frames.name).name}",
            command="napari-vos train labels",
            about={DESIGN: self.learner.network.design.to_json()},
            diameter=self.diameter,
            held_out_AP50=scores.ap50,
            held_out_AP=scores.ap,
        )


def _start(recipe: OwnCellsTraining) -> Yolact:
    path = checkpoints.resolve(recipe.start_from, "cells")
    return cast("Yolact", checkpoints.load_network("cells", path))

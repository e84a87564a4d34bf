"""Adapting the weights of a session's engine to its own stack, and whether they are kept."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_vos.errors import NapariVosError
from napari_vos.metrics import region_similarity
from napari_vos.prompts import MaskPrompt
from napari_vos.session import actions
from napari_vos.session.images import describe_frames
from napari_vos.session.ledger import Ledger
from napari_vos.session.planner import RoundPlanner
from napari_vos.session.round import run_round
from napari_vos.session.spans import Reach
from napari_vos.store.evidence import Source
from napari_vos.store.folder import SessionFolder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.frames import FrameStack
    from napari_vos.session.engine import EngineChoice
    from napari_vos.training.adapt import Adaptation, AdaptProgress, Lessons

ADAPTABLE = ("compact", "mast")
"""Engines whose weights can be adapted."""

FRAMES_THERE_AND_BACK = 8
"""How far masks are propagated before they turn round."""

MOST_COMPARED = 50
"""Objects whose masks are compared; of more, as many are taken from all over the frame."""


class Comparison(NamedTuple):
    """What the user's own frames say of adapted weights.

    Attributes
    ----------
    way
        The user's masks of the first frame were propagated to the next one of these, from
        there anew with what had been found, and so on; those on the last frame were
        compared with the user's. Nothing was learned from the last frame unless it is the
        first one again.
    before, after
        Mean J of the objects there, with the weights before and with the adapted ones.
    """

    way: tuple[int, ...]
    before: float
    after: float

    @property
    def is_worse(self) -> bool:
        """Whether the adapted weights make masks worse."""
        return self.after < self.before


@dataclass(frozen=True)
class AdaptOutcome:
    """What has come of adapting.

    Attributes
    ----------
    engine
        Whose weights.
    weights
        The adapted weights in the session's folder; None if they weren't kept.
    steps
        How many were learned in.
    start_loss, loss
        On clips kept for comparison: before, and with the best weights.
    diverged
        Whether the loss has run away, so that earlier weights were gone back to.
    comparison
        On the user's own frames; None if no object is marked, or if it was cut short.
    cut_short
        Whether an error, or the user, has ended the comparison with the adapted weights.
        They are kept: what was learned isn't lost, and `undo` goes back.
    """

    engine: str
    weights: Path | None
    steps: int
    start_loss: float
    loss: float
    diverged: bool
    comparison: Comparison | None
    cut_short: bool = False

    def __str__(self) -> str:
        """Say what was kept, and why."""
        parts = []
        if self.diverged:
            parts.append("The loss ran away, and the weights before that were gone back to.")
        if not self.loss < self.start_loss:
            parts.append(f"Nothing is changed: {self.steps} steps have brought nothing better.")
            return " ".join(parts)
        kept = "Not kept" if self.weights is None else "Kept"
        if self.comparison is None:
            why = f"the loss went from {self.start_loss:.3g} to {self.loss:.3g}; "
            why += (
                "comparing masks was cut short, so look at what they become."
                if self.cut_short
                else "mark a frame to have masks compared."
            )
        else:
            way, before, after = self.comparison
            back = " and back" if way[0] == way[-1] else ""
            why = f"from frame {way[0]} to frame {way[1]}{back}, J was {before:.3f} and is "
            why += f"{after:.3f} with the adapted weights."
        parts.append(f"{kept}: {why}")
        return " ".join(parts)


class StackAdaptation:
    """Adapts the weights of an engine to the stack of a session.

    Parameters
    ----------
    ledger
        The session.
    frames
        Its images.
    choice
        The engine asked for.
    start_from
        The same, with the weights that are in use now.
    minutes
        How long to learn.
    seed
        Of all random choices.

    Attributes
    ----------
    outcome
        What has come of it; None until `run` has ended.
    """

    def __init__(
        self,
        ledger: Ledger,
        frames: FrameStack,
        *,
        choice: EngineChoice,
        start_from: EngineChoice,
        minutes: float,
        seed: int,
    ) -> None:
        self.outcome: AdaptOutcome | None = None
        self._ledger = ledger
        self._frames = frames
        self._choice = choice
        self._start_from = start_from.within(ledger.folder.path)
        self._minutes = minutes
        self._seed = seed

    def run(self) -> Generator[AdaptProgress]:
        """Compare, learn, compare; yields after each step.

        Closed at any yield, what was learned until then is judged, and kept if it is better.

        Raises
        ------
        NapariVosError
            If the engine, its weights, the images or the marks can't be used, or memory is
            too short.
        """
        annotated = dict(user_labels(self._ledger))
        way = _way_to_compare(annotated, self._frames.n_frames)
        # There and back again, the frame that is compared is learned from too.
        held_out = way[-1] if way is not None and way[-1] != way[0] else None
        shown = {t: labels for t, labels in annotated.items() if t != held_out}
        # Here and not above, since training loads torch.
        from napari_vos.training.adapt import Adaptation

        learning = Adaptation(
            self._lessons(shown),
            minutes=self._minutes,
            seed=self._seed,
            device=self._choice.device,
        )
        before = None
        if way is not None:
            before = yield from self._try(annotated, way, self._start_from)
        try:
            yield from learning.run()
        finally:
            self._judge(learning, annotated, way, before)

    def _lessons(self, annotated: Mapping[int, NDArray[np.uint16]]) -> Lessons[Any]:
        from napari_vos.checkpoints import resolve

        match self._choice.name:
            case "compact":
                from napari_vos.training.adapt_compact import CompactLessons

                weights = resolve(self._start_from.weights, "compact")
                return CompactLessons(self._frames, annotated, weights)
            case "mast":
                from napari_vos.training.adapt_mast import MastLessons

                return MastLessons(self._frames, resolve(self._start_from.weights, "mast_small"))
            case name:
                raise NapariVosError(
                    f"The engine '{name}' can't be adapted to a stack. Choose "
                    f"{' or '.join(ADAPTABLE)}."
                )

    def _judge(
        self,
        learning: Adaptation,
        annotated: Mapping[int, NDArray[np.uint16]],
        way: tuple[int, ...] | None,
        before: float | None,
    ) -> None:
        """Compare, and keep the weights unless they make masks worse.

        Whatever ends the comparison early: what was learned isn't lost.
        """
        weights = self._write(learning.weights()) if learning.improved else None
        comparison = None
        try:
            if weights is not None and way is not None and before is not None:
                adapted = replace(self._start_from, weights=weights)
                comparison = Comparison(way, before, _result(self._try(annotated, way, adapted)))
        finally:
            if weights is not None and comparison is not None and comparison.is_worse:
                weights.unlink()
                weights = None
            outcome = AdaptOutcome(
                self._choice.name,
                weights,
                learning.step,
                learning.start_loss,
                learning.loss,
                learning.diverged,
                comparison,
                cut_short=weights is not None and way is not None and comparison is None,
            )
            if weights is not None:
                self._commit(outcome, weights)
            self.outcome = outcome

    def _write(self, content: bytes) -> Path:
        name = f"{self._choice.name}-{hashlib.sha256(content).hexdigest()[:12]}"
        return self._ledger.folder.write_weights(name, content)

    def _commit(self, outcome: AdaptOutcome, weights: Path) -> None:
        self._ledger.commit(
            "adapt",
            {},
            adapted={
                "engine": self._choice.name,
                "of": self._choice.to_json()["weights"],
                "weights": weights.relative_to(self._ledger.folder.path).as_posix(),
            },
            minutes=self._minutes,
            seed=self._seed,
            steps=outcome.steps,
            losses=[outcome.start_loss, outcome.loss],
            diverged=outcome.diverged,
            comparison=outcome.comparison and outcome.comparison._asdict(),
        )

    def _try(
        self,
        annotated: Mapping[int, NDArray[np.uint16]],
        way: tuple[int, ...],
        choice: EngineChoice,
    ) -> Generator[AdaptProgress, None, float]:
        """Return mean J on the last frame of a way."""
        first, last = annotated[way[0]], annotated[way[-1]]
        compared = _spread(_shared(first, last), MOST_COMPARED)
        masks = np.where(np.isin(first, compared), first, 0)
        for start, end in pairwise(way):
            masks = yield from self._carry(masks, start, end, choice)
        return fmean(region_similarity(masks == i, last == i) for i in compared)

    def _carry(
        self, masks: NDArray[np.uint16], start: int, end: int, choice: EngineChoice
    ) -> Generator[AdaptProgress, None, NDArray[np.uint16]]:
        """Return the (Y, X) masks of frame `start` as they are on frame `end`."""
        from napari_vos.training.adapt import AdaptProgress

        object_ids = _ids(masks)
        if not object_ids:
            return masks
        about = {"id": uuid.uuid4().hex, "frames": describe_frames(self._frames)}
        with closing(Ledger(SessionFolder.create(None, about), undo_bytes=0)) as trial:
            actions.add_mask(trial, MaskPrompt(start, masks, tuple(object_ids)))
            reach = Reach((min(start, end), max(start, end)))
            planner = RoundPlanner(trial, self._frames, choice)
            planner.estimate(reach)  # shrinks batches to the memory there is
            with closing(run_round(trial, *planner.open(reach))) as frames:
                for _ in frames:
                    yield AdaptProgress(0, 0.0, None)
            return trial.labels(end)


def _result(steps: Generator[object, None, float]) -> float:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return float(end.value)


def user_labels(ledger: Ledger) -> Iterator[tuple[int, NDArray[np.uint16]]]:
    """Yield the frames with what the user has marked himself, and their (Y, X) labels of it."""
    for t in sorted({t for t, _ in ledger.history.state.marks}):
        entries = ledger.index(t).entries.items()
        ids = [i for i, entry in entries if entry.source is Source.USER]
        if ids:
            labels = ledger.labels(t)
            yield t, np.where(np.isin(labels, ids), labels, 0).astype(np.uint16)


def _way_to_compare(
    annotated: Mapping[int, NDArray[np.uint16]], n_frames: int
) -> tuple[int, ...] | None:
    """Return the frames to propagate between, see `Comparison`; None if no object is marked.

    Those two nearest to each other of all with an object in common, or some frames away and back:
    what has moved there must come to lie where the user marked it (cycle consistency,
    Wang, Jabri, Efros, CVPR 2019).
    """
    marked = {t: set(_ids(labels)) for t, labels in annotated.items()}
    pairs = [(a, b) for a, b in combinations(sorted(marked), 2) if marked[a] & marked[b]]
    if pairs:
        return min(pairs, key=lambda pair: pair[1] - pair[0])
    start = max(marked, key=lambda t: len(marked[t]), default=None)
    if start is None or not marked[start]:
        return None
    ahead = min(n_frames - 1, start + FRAMES_THERE_AND_BACK)
    behind = max(0, start - FRAMES_THERE_AND_BACK)
    return start, max(ahead, behind, key=lambda t: abs(t - start)), start


def _ids(labels: NDArray[np.uint16]) -> list[int]:
    return [int(i) for i in np.unique(labels) if i]


def _shared(one: NDArray[np.uint16], other: NDArray[np.uint16]) -> list[int]:
    return _ids(np.intersect1d(one, other))


def _spread(object_ids: list[int], most: int) -> list[int]:
    step = max(1.0, len(object_ids) / most)
    return [object_ids[int(k * step)] for k in range(min(most, len(object_ids)))]

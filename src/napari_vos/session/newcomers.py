"""Newcomers: what a detector finds and nobody follows yet becomes an object."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import reduce
from operator import add
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from napari_vos.configs import CellsConfig
from napari_vos.session.adaptation import user_labels
from napari_vos.session.engine import EngineChoice, plan_of
from napari_vos.session.lineage import SessionLineage
from napari_vos.session.marks import ANY_OBJECT, MarkKind, free_ids
from napari_vos.session.merge import user_evidence, without_pixels
from napari_vos.session.spans import plan_legs
from napari_vos.session.survey import Search, Survey, is_strange, survey_frames
from napari_vos.store.evidence import Source
from napari_vos.store.record import FrameRecord

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_vos.engines.base import Detector
    from napari_vos.frames import FrameStack
    from napari_vos.session.ledger import Ledger
    from napari_vos.session.survey import Newcomer
    from napari_vos.store.journal import Line

DETECTOR = "cells"
"""The detector that is taken if none is named."""

_SMALLEST = 4.0
"""Diameter in pixels that "cells" can be told."""

_OWN = ("round", "add_newcomers", "accept_parents", "accept")
"""What takes nothing away that newcomers were looked for in."""


def add_newcomers(ledger: Ledger, survey: Survey) -> frozenset[int]:
    """Make objects of the newcomers that nothing explains by now; return the frames that change.

    They take no pixel of other objects. What detection confirms gains confidence, once.
    """
    marks = ledger.history.state.marks
    names, known = free_ids(marks), {i for _, i in marks}
    by_frame: dict[int, list[Newcomer]] = {}
    for each in survey.newcomers:
        if not is_settled(ledger, each.t) and is_strange(each, ledger.labels(each.t)):
            is_taken = each.object_id in known
            own = replace(each, object_id=next(names)) if is_taken else each
            known.add(own.object_id)
            by_frame.setdefault(each.t, []).append(own)
    masks = {t: _paint(newcomers, ledger.labels(t)) for t, newcomers in by_frame.items()}
    scores = {each.object_id: each.score for some in by_frame.values() for each in some}
    return _write(ledger, survey.frames, masks, scores, _sure(ledger, survey), survey.said)


def confirm_objects(ledger: Ledger, survey: Survey) -> frozenset[int]:
    """Let what detection confirms gain confidence, once; return the frames that change.

    No frame counts as checked: nothing was said of its newcomers.
    """
    sure = _sure(ledger, survey)
    return _write(ledger, (), {}, {}, sure, survey.said) if sure else frozenset()


def _sure(ledger: Ledger, survey: Survey) -> dict[int, dict[int, float]]:
    """Return the new confidence, by frame and id, of objects that weren't confirmed before."""
    old = _confirmed_before(ledger, survey.said.get("detector"))
    sure: dict[int, dict[int, float]] = {}
    for (t, i), certainty in survey.confirmed.items():
        if (t, i) not in old and i in ledger.index(t).entries:
            confidence = ledger.index(t).entries[i].confidence
            sure.setdefault(t, {})[i] = confidence + (1 - confidence) * certainty
    return sure


def repeat_newcomers(
    ledger: Ledger, line: Line, read_prompt: Callable[[str], NDArray[np.uint16]]
) -> frozenset[int]:
    """Do what a line of another session's journal tells; return the frames that change."""
    return _write(
        ledger,
        line["frames"],
        {int(t): read_prompt(digest) for t, digest in line["prompts"].items()},
        {int(i): score for i, score in line["scores"].items()},
        {int(t): {int(i): c for i, c in each.items()} for t, each in line["sure"].items()},
        {key: line[key] for key in ("search", "detector")},
    )


def _write(
    ledger: Ledger,
    frames: Iterable[int],
    masks: Mapping[int, NDArray[np.uint16]],
    scores: Mapping[int, float],
    sure: Mapping[int, Mapping[int, float]],
    said: Mapping[str, object],
) -> frozenset[int]:
    """Write new objects and confidences.

    `masks` are (Y, X) labels by frame, on pixels of no other object, `scores` their confidence by
    id, and `sure` the new confidence of other objects by frame and id.
    """
    records = {}
    for t in sorted(masks.keys() | sure.keys()):
        objects, events = ledger.read(t)
        labels, raised = ledger.labels(t), sure.get(t, {})
        objects = {
            i: replace(item, confidence=raised.get(i, item.confidence))
            for i, item in objects.items()
        }
        if t in masks:
            new = masks[t] > 0
            labels = np.where(new, masks[t], labels)
            objects = without_pixels(objects, new) | {
                i: replace(item, confidence=scores[i], source=Source.DETECTED)
                for i, item in user_evidence(masks[t]).items()
            }
        records[t] = FrameRecord(labels, objects, events)
    return ledger.commit(
        "add_newcomers",
        records,
        frames=list(frames),
        **said,
        prompts={str(t): ledger.folder.write_prompt(each) for t, each in masks.items()},
        marked=[
            [t, int(i), MarkKind.PRESENT] for t, each in masks.items() for i in np.unique(each) if i
        ],
        scores={str(i): score for i, score in scores.items()},
        sure={str(t): {str(i): c for i, c in each.items()} for t, each in sure.items()},
    )


def checked_frames(ledger: Ledger, said: Mapping[str, object]) -> set[int]:
    """Return the frames that were looked at in the same way since the user's last word."""
    return {t for line in _searches(ledger, said) for t in line["frames"]}


def _confirmed_before(ledger: Ledger, detector: object) -> set[tuple[int, int]]:
    """Return what a detector has confirmed since the user's last word: frames and ids.

    It counts once, however the thresholds and the frames to look at have changed.
    """
    return {
        (int(t), int(i))
        for line in _searches(ledger, {"detector": detector})
        for t, raised in line["sure"].items()
        for i in raised
    }


def _searches(ledger: Ledger, said: Mapping[str, object]) -> Iterator[Line]:
    """Yield the lines of searches of which this can be said, since the user's last word."""
    for line, _ in reversed(ledger.history.steps):
        if line["action"] not in _OWN:
            return
        if line["action"] == "add_newcomers" and all(line[key] == said[key] for key in said):
            yield line


def is_settled(ledger: Ledger, t: int) -> bool:
    """Return whether the user has said that there is nothing else on frame `t`."""
    state = ledger.history.state
    return (t, ANY_OBJECT) in state.marks or ANY_OBJECT in state.locked_ids(t)


def _paint(newcomers: list[Newcomer], labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    masks = np.zeros_like(labels)
    for each in newcomers:
        free = each.mask & (labels[each.box.slices] == 0)
        masks[each.box.slices][free] = each.object_id
    return masks


class SessionNewcomers(SessionLineage):
    """A session in which a detector finds newcomers.

    Parameters
    ----------
    ledger
        The session's files and history.
    frames
        The images.
    interactor
        What makes masks of what is drawn.
    """

    def __init__(self, ledger: Ledger, frames: FrameStack, interactor: EngineChoice) -> None:
        super().__init__(ledger, frames, interactor)
        default = EngineChoice(DETECTOR).to_json()
        named = ledger.folder.about.get("detector", default)
        self._detector_choice = EngineChoice.from_json(named)
        self._detector: tuple[tuple[EngineChoice, str | None], Detector] | None = None

    @property
    def newcomers(self) -> dict[int, int]:
        """The frame on which detection has found an object, by id of all it has found."""
        marks = self._ledger.history.state.marks
        return {i: t for t, i in sorted(marks) if self._is_detected(t, i)}

    def choose_detector(
        self,
        detector: str = DETECTOR,
        *,
        config: object | None = None,
        weights: str | Path | None = None,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        """Let something else look for newcomers.

        Parameters
        ----------
        detector
            "cells" or "yolact".
        config
            The detector's configuration; None for the default, "cells" then takes the typical
            diameter from the objects the user has marked.
        weights
            Weights file or registered name; None for the detector's own.
        device, precision
            Where and how it computes.
        """
        choice = EngineChoice(detector, config, weights, device, precision)
        if choice == self._detector_choice:
            return  # what is loaded stays loaded
        with self._turns.changing():
            self._ledger.folder.describe(detector=choice.to_json())
            self._detector_choice, self._detector = choice, None

    def find_newcomers(
        self,
        *,
        every: int = 5,
        frames: tuple[int, int] | None = None,
        score: float = 0.4,
        overlap: float = 0.5,
    ) -> Survey:
        """Look for instances that no object explains, and for those that confirm one.

        Nothing is changed: see `add_newcomers`. An instance is explained if objects cover more
        than 0.3 of it. One that is seen on several frames is found on the first of them.
        Frames to which objects are still to be propagated aren't looked at, nor those on which
        the user has said that all is right.

        Parameters
        ----------
        every
            On every how many frames.
        frames
            First and last frame, inclusive; None for all.
        score
            In [0, 1]; what is less certain is no instance.
        overlap
            In [0, 1]; of two instances that overlap (IoU) more the worse is none.

        Raises
        ------
        PromptError
            If a value is outside its limits.
        NapariVosError
            If the detector's weights or device can't be used.
        """
        surveys = self.survey(Search(every, score, overlap), frames=frames)
        return reduce(add, surveys, Survey((), (), {}, {}))

    def survey(self, search: Search, *, frames: tuple[int, int] | None = None) -> Generator[Survey]:
        """Look at frames one after the other; see `find_newcomers`."""
        chosen = self.frames_to_survey(search, frames)
        detector = self._make_detector()
        said = {"search": asdict(search), "detector": plan_of(detector)}
        yield from survey_frames(self._ledger, detector, chosen, search, said)

    def frames_to_survey(self, search: Search, frames: tuple[int, int] | None = None) -> list[int]:
        """Return the frames of a search to which no object is still to be propagated.

        Those on which the user has said that all is right are left out too.

        Raises
        ------
        PromptError
            If the range lies outside the stack.
        """
        state = self._ledger.history.state
        legs = plan_legs(state.marks, state.arms, self._ledger.n_frames)
        pending = {t for leg in legs for t in leg.frames}
        return [t for t in self._unsettled(search, frames) if t not in pending]

    def unchecked_frames(self, search: Search, frames: tuple[int, int] | None = None) -> list[int]:
        """Return those of a search that weren't looked at since the user's last word."""
        said = {"search": asdict(search), "detector": plan_of(self._make_detector())}
        checked = checked_frames(self._ledger, said)
        return [t for t in self._unsettled(search, frames) if t not in checked]

    def add_newcomers(self, survey: Survey) -> None:
        """Make objects of newcomers, in one step that can be undone.

        They are marked on their frames, and `propagate` follows them both ways. Those that
        an object explains by now are left out. Objects that detection confirms gain
        confidence, as much of what they lack as detection is certain.

        Parameters
        ----------
        survey
            What `find_newcomers` has found; `survey.only(object_ids)` for some of it.
        """
        if survey.frames:
            self._act(lambda: add_newcomers(self._ledger, survey))

    def confirm_objects(self, survey: Survey) -> None:
        """Let objects that detection confirms gain confidence, in one step that can be undone.

        As in `add_newcomers`, but of newcomers nothing is said: their frames aren't done with.

        Parameters
        ----------
        survey
            What `find_newcomers` has found.
        """
        self._act(lambda: confirm_objects(self._ledger, survey))

    def _unsettled(self, search: Search, frames: tuple[int, int] | None) -> list[int]:
        chosen = self._check_range(frames)[:: search.every]
        return [t for t in chosen if not is_settled(self._ledger, t)]

    def _make_detector(self) -> Detector:
        """Return the detector; "cells" is told how large the user's objects are by now."""
        # Here and not above, since it loads torch.
        from napari_vos.checkpoints import content_of

        choice = self._detector_choice
        if choice.name == "cells" and choice.config is None:
            diameter = self._typical_diameter()
            if diameter is not None:
                choice = replace(choice, config=CellsConfig(max(_SMALLEST, diameter)))
        wanted = choice, content_of(choice.weights)
        if self._detector is None or self._detector[0] != wanted:
            self._detector = wanted, choice.create_detector(self.frames)
        return self._detector[1]

    def _typical_diameter(self) -> float | None:
        areas = []
        for _, labels in user_labels(self._ledger):
            counts = np.bincount(labels.ravel())[1:]
            areas += counts[counts > 0].tolist()
        return 2 * float(np.sqrt(median(areas) / np.pi)) if areas else None

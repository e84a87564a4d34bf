"""Running a session's journal again, and comparing what comes out."""

from __future__ import annotations

import uuid
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_vos.errors import StoreError
from napari_vos.prompts import MaskPrompt
from napari_vos.session import actions, objects
from napari_vos.session.engine import EngineChoice, plan_of
from napari_vos.session.images import find_frames
from napari_vos.session.ledger import Ledger
from napari_vos.session.newcomers import repeat_newcomers
from napari_vos.session.round import begin_round, run_round
from napari_vos.session.spans import Reach
from napari_vos.store.files import reported
from napari_vos.store.folder import SessionFolder

if TYPE_CHECKING:
    from napari_vos.frames import FrameStack
    from napari_vos.session.history import Round
    from napari_vos.store.journal import Line

_KEEP_ALL = 2**62

_BESIDE = ("prompts", "interactor", "object_id", "new_id")
"""What the journal tells of masks beside the masks themselves."""


@dataclass(frozen=True)
class ReplayReport:
    """How a replayed session compares with the original.

    Attributes
    ----------
    different
        Share of the pixels that differ, by frame, for frames where any does.
    share
        Share of all pixels that differ.
    changes
        What differs in engine, machine or versions, in words.
    """

    different: dict[int, float]
    share: float
    changes: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether every label on every frame is the same."""
        return not self.different


def replay(
    folder: str | Path, images: FrameStack | None = None, out: str | Path | None = None
) -> ReplayReport:
    """Do everything again that a session's journal tells, and compare the labels.

    What was undone is left out; rounds take engine and batches from their lines,
    and stop where they have stopped.

    Parameters
    ----------
    folder
        The session; it is only read.
    images
        Its images; None to open them from where they were.
    out
        A new folder for the session that comes out; None to throw it away.

    Raises
    ------
    StoreError
        If the session or its images can't be read, or aren't the same.
    """
    source = Ledger(SessionFolder.open(Path(folder), read_only=True), undo_bytes=_KEEP_ALL)
    about = source.folder.about
    frames = find_frames(about["frames"], images, source.folder.path)
    copy = {**about, "id": uuid.uuid4().hex}
    target = SessionFolder.create(None if out is None else Path(out), copy)
    with closing(Ledger(target, undo_bytes=_KEEP_ALL)) as again:
        changes = _Replay(source, again, frames).run()
        different = {}
        for t in range(source.n_frames):
            share = float(np.mean(source.labels(t) != again.labels(t)))
            if share:
                different[t] = share
    total = sum(different.values()) / source.n_frames
    return ReplayReport(different, total, changes)


class _Replay:
    """The steps of one ledger done on another."""

    def __init__(self, source: Ledger, again: Ledger, frames: FrameStack) -> None:
        self._source = source
        self._again = again
        self._frames = frames
        self._legs: dict[str, str] = {}
        self._changes: dict[str, None] = {}

    def run(self) -> tuple[str, ...]:
        """Do all that was done and not undone; return what differs in the engine."""
        for line, current in self._source.history.steps:
            if current is None:
                self._act(line)
            else:
                self._propagate(line, current)
        return tuple(self._changes)

    def _act(self, line: Line) -> None:
        match line["action"]:
            case "add_mask" | "draw" | "split_object":
                # Masks that were drawn are those that came out then, whatever made them.
                labels = self._source.folder.read_prompt(line["prompt"])
                ids = tuple(int(i) for i in np.unique(labels) if i)
                prompt = MaskPrompt(line["t"], labels, ids, line["complete"])
                beside = {key: line[key] for key in _BESIDE if key in line}
                actions.add_mask(self._again, prompt, line["action"], **beside)
            case "add_newcomers":
                repeat_newcomers(self._again, line, self._source.folder.read_prompt)
            case "accept_parents":
                self._again.commit("accept_parents", {}, parents=line["parents"])
            case "accept":
                self._again.commit("accept", {}, locked=line["locked"])
            case "end_object":
                objects.end_object(self._again, line["object_id"], line["t"])
            case "delete_object":
                objects.delete_object(self._again, line["object_id"])
            case "merge_objects":
                pair = objects.Pair(line["object_id"], line["other_id"])
                objects.merge_objects(self._again, pair, range(*line["frames"]))
            case "adapt":
                # Training again would give other weights on another machine.
                named = line["adapted"]["weights"]
                path = self._source.folder.path / named
                with reported(path, "read"):
                    content = path.read_bytes()
                self._again.folder.write_weights(Path(named).stem, content)
                self._again.commit("adapt", {}, adapted=line["adapted"])
            case other:
                raise StoreError(
                    f"Line {line['n']} of the journal tells of '{other}', which this version "
                    "can't do. Update napari-vos."
                )

    def _propagate(self, line: Line, current: Round) -> None:
        choice = EngineChoice.from_json(line["choice"])
        own = choice.within(self._source.folder.path)
        propagator = own.create(self._frames, plan=line["engine"])
        self._compare(line["engine"], plan_of(propagator))
        legs = [
            replace(leg, follows=None if leg.follows is None else self._legs[leg.follows])
            for leg in current.legs
        ]
        reach = Reach.from_json(line)
        begun = begin_round(self._again, legs, reach, choice, propagator, self._frames)
        for index in range(len(legs)):
            self._legs[current.name(index)] = begun.name(index)
        # In the order in which they were run, whatever the order of today.
        with closing(run_round(self._again, begun, propagator, current.order)) as steps:
            for _ in steps:
                pass

    def _compare(self, then: dict[str, Any], now: dict[str, Any]) -> None:
        for key in sorted(then.keys() | now.keys()):
            if then.get(key) != now.get(key):
                self._changes[f"{key}: {then.get(key)} then, {now.get(key)} now"] = None

"""The state of a session as the sum of its journal's lines.

A running session and an opened one come to their state in the same way: by
applying lines. So what is undone, resumed or reopened can't differ from what was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_vos.session.marks import Mark, MarkKind, object_ids
from napari_vos.session.spans import Arm, Leg

if TYPE_CHECKING:
    from napari_vos.store.journal import Line


@dataclass(eq=False)
class State:
    """Where a session stands.

    Attributes
    ----------
    versions
        Name of the current version by frame; a frame without one is empty.
    marks, arms
        See `session.marks` and `session.spans`.
    locks
        Accepted object ids by frame; object id 0 is the background.
    parents
        Accepted parent by object id; both are objects of the session.
    adapted
        File of adapted weights in the session's folder, by engine and the weights asked for.
    """

    versions: dict[int, str] = field(default_factory=dict)
    marks: dict[tuple[int, int], Mark] = field(default_factory=dict)
    arms: dict[tuple[int, int, int], Arm] = field(default_factory=dict)
    locks: dict[int, frozenset[int]] = field(default_factory=dict)
    parents: dict[int, int] = field(default_factory=dict)
    adapted: dict[tuple[str, str | None], str] = field(default_factory=dict)

    def copy(self) -> State:
        """Return a state that can change on its own."""
        return State(
            dict(self.versions),
            dict(self.marks),
            dict(self.arms),
            dict(self.locks),
            dict(self.parents),
            dict(self.adapted),
        )

    def locked_ids(self, t: int) -> frozenset[int]:
        """Return what is locked on frame `t`."""
        return self.locks.get(t, frozenset())


@dataclass(eq=False)
class Round:
    """A propagation, and how far it has come.

    Attributes
    ----------
    n
        Number of its line in the journal.
    line
        That line.
    legs
        What it runs.
    order
        The leg of each finished frame, in the order in which they were run.
    done
        The last finished frame of each leg.
    ended
        The objects of each leg that have ended on the way.
    spared
        Those that a leg has lost and left as they were.
    before
        The versions that frames had before the pass in work.
    """

    n: int
    line: Line
    legs: tuple[Leg, ...]
    order: list[int] = field(default_factory=list)
    done: dict[int, int] = field(default_factory=dict)
    ended: dict[int, set[int]] = field(default_factory=dict)
    spared: dict[int, set[int]] = field(default_factory=dict)
    before: dict[int, str | None] = field(default_factory=dict)
    _passed: int = 0

    def name(self, index: int) -> str:
        """Return the name of a leg; its states are kept under it."""
        return f"{self.n}-{index}"

    def rest(self, index: int) -> range:
        """Return the frames of a leg that are still to run."""
        frames = self.legs[index].frames
        return frames if index not in self.done else frames[frames.index(self.done[index]) + 1 :]

    @property
    def n_done(self) -> int:
        """How many frames are finished, a frame counted once per leg."""
        return len(self.order)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to run."""
        return not any(self.rest(index) for index in range(len(self.legs)))

    def add_frame(self, state: State, line: Line) -> None:
        """Take a finished frame into the round and the state."""
        t, index = line["t"], line["leg"]
        leg = self.legs[index]
        if leg.passed != self._passed:
            self._passed = leg.passed
            self.before = {}
        self.order.append(index)
        self.done[index] = t
        ended = self.ended.setdefault(index, set())
        ended.update(int(object_id) for object_id in line["ends"])
        spared = self.spared.setdefault(index, set())
        spared.update(line.get("spared", ()))
        if line["version"] is not None:
            self.before.setdefault(t, state.versions.get(t))
            state.versions[t] = line["version"]
        for i in leg.span.object_ids:
            key = (leg.span.start, i, leg.span.direction)
            until = leg.until if i in spared else t
            is_over = leg.ended or i in ended or i in spared
            state.arms[key] = Arm(until, self.name(index), is_over)


@dataclass(eq=False)
class Unit:
    """What one undo takes back.

    Attributes
    ----------
    line
        The line of the journal that began it.
    before, after
        The states around it; `after` grows while a round runs.
    round
        The round, if it is one.
    """

    line: Line
    before: State
    after: State
    round: Round | None = None


class History:
    """All that was done, undone and can be done again.

    Parameters
    ----------
    lines
        The journal so far.
    """

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self.state = State()
        self.done: list[Unit] = []
        """What can be undone, oldest first."""
        self.undone: list[Unit] = []
        """What can be done again, the next one last."""
        self._legs: dict[str, tuple[Round, int]] = {}
        self._forgotten: list[tuple[Line, Round | None]] = []
        for line in lines:
            self.apply(line)

    @property
    def steps(self) -> list[tuple[Line, Round | None]]:
        """All that was done and not undone, in order, with the round if it is one."""
        return self._forgotten + [(unit.line, unit.round) for unit in self.done]

    @property
    def interrupted(self) -> Round | None:
        """The round that was the last thing done and isn't finished."""
        last = self.done[-1].round if self.done else None
        return None if last is None or last.is_finished else last

    @property
    def latest_round(self) -> Round:
        """The round that was the last thing done."""
        latest = self.done[-1].round
        if latest is None:
            raise ValueError("The last thing done is no round.")
        return latest

    def uncorrected_version(self, t: int) -> str | None:
        """Return the version of frame `t` that the round before the latest thing done has left."""
        earlier = [unit.after for unit in self.done[:-1] if unit.round is not None]
        state = earlier[-1] if earlier else self.done[0].before
        return state.versions.get(t)

    def apply(self, line: Line) -> frozenset[int]:
        """Apply one line of the journal; return the frames it has changed."""
        old = self.state.versions if line["action"] != "frame" else None
        match line["action"]:
            case "undo":
                self.undone.append(self.done.pop())
                self.state = self.undone[-1].before
            case "redo":
                self.done.append(self.undone.pop())
                self.state = self.done[-1].after
            case "round":
                legs = tuple(Leg.from_json(fields) for fields in line["legs"])
                self._begin(line, Round(line["n"], line, legs))
            case "resume":
                self.undone.clear()
            case "frame":
                self.latest_round.add_frame(self.state, line)
            case "finish":
                pass
            case "forget":
                forgotten = self.done[: line["steps"]]
                self._forgotten += [(unit.line, unit.round) for unit in forgotten]
                del self.done[: line["steps"]]
            case _:
                self._begin(line, None)
                _apply_action(self.state, line)
        if old is None:
            return frozenset() if line["version"] is None else frozenset({line["t"]})
        new = self.state.versions
        return frozenset(t for t in old.keys() | new.keys() if old.get(t) != new.get(t))

    def kept_versions(self) -> frozenset[str]:
        """Return the versions that the state, undo, redo and the round in work need."""
        kept = set(self.state.versions.values())
        for unit in (*self.done, *self.undone):
            kept.update(unit.before.versions.values())
            kept.update(unit.after.versions.values())
            if unit.round is not None and not unit.round.is_finished:
                kept.update(name for name in unit.round.before.values() if name is not None)
        return frozenset(kept)

    def kept_legs(self) -> frozenset[str]:
        """Return the legs whose states may be needed to go on from."""
        units = [unit.round for unit in (*self.done, *self.undone) if unit.round is not None]
        wanted = {each.name(index) for each in units for index in range(len(each.legs))}
        wanted.update(arm.leg for arm in self.state.arms.values() if self._is_incomplete(arm.leg))
        lines = {name for leg in wanted for name in self.line_of(leg)}
        return frozenset(name for name in lines if self._is_incomplete(name))

    def round_of(self, leg: str) -> Round:
        """Return the round of a leg."""
        return self._legs[leg][0]

    def line_of(self, leg: str) -> tuple[str, ...]:
        """Return the name of a leg and of all that it continues, latest first."""
        names = [leg]
        while True:
            current, index = self._legs[names[-1]]
            follows = current.legs[index].follows
            if follows is None:
                return tuple(names)
            names.append(follows)

    def _is_incomplete(self, leg: str) -> bool:
        """Return whether a leg has not come to the natural end of its span."""
        current, index = self._legs[leg]
        return bool(current.rest(index)) or current.legs[index].until != (
            current.legs[index].span.end
        )

    def _begin(self, line: Line, new_round: Round | None) -> None:
        self.undone.clear()
        before, self.state = self.state, self.state.copy()
        self.done.append(Unit(line, before, self.state, new_round))
        if new_round is not None:
            for index in range(len(new_round.legs)):
                self._legs[new_round.name(index)] = (new_round, index)


def _apply_action(state: State, line: Line) -> None:
    """Apply what an action says in the fields that any action may have."""
    for t, name in line.get("versions", {}).items():
        state.versions[int(t)] = name
    for t, object_id in line.get("unmarked", ()):
        state.marks.pop((t, object_id), None)
        _drop_arms(state, t, object_id)
    for kind in MarkKind:
        for object_id in line.get(kind, ()):
            state.marks[(line["t"], object_id)] = Mark(kind, line["n"])
            _drop_arms(state, line["t"], object_id)
    for t, object_id, kind in line.get("marked", ()):
        state.marks[(t, object_id)] = Mark(MarkKind(kind), line["n"])
        _drop_arms(state, t, object_id)
    for t, object_id, direction, *arm in line.get("arms", ()):
        state.arms[(t, object_id, direction)] = Arm(*arm)
    for child, parent in line.get("parents", {}).items():
        state.parents.pop(int(child), None)
        if parent is not None:
            state.parents[int(child)] = parent
    if state.parents:
        known = set(object_ids(state.marks))
        state.parents = dict(pair for pair in state.parents.items() if known.issuperset(pair))
    if adapted := line.get("adapted"):
        state.adapted[(adapted["engine"], adapted["of"])] = adapted["weights"]
        state.arms.clear()  # all is run anew with them
    for t, ids in line.get("unlocked", {}).items():
        state.locks[int(t)] = state.locks.get(int(t), frozenset()) - set(ids)
    for t, ids in line.get("locked", {}).items():
        state.locks[int(t)] = state.locks.get(int(t), frozenset()) | set(ids)


def _drop_arms(state: State, t: int, object_id: int) -> None:
    for direction in (1, -1):
        state.arms.pop((t, object_id, direction), None)

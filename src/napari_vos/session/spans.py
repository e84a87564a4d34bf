"""Which frames have to be propagated, for which objects, from where.

A mark of an object has two arms, forward and backward, each up to the next mark
of that object or the stack's end. An arm is run once. So a new mark runs
what it touches and nothing else, and what was not run for lack of time or range
stays pending.

Of several new marks of one object each runs in a pass of its own, in the order
in which they were made: the first from its frame over all that no other mark
bounds, the next with fusion towards the marks before it. No arm reaches
beyond a neighbouring mark that is still to run, since that one would run
those frames again without a trace of the earlier pass: the labels are those of
marking and propagating one frame at a time, without the time that would take.

The arms on the two sides of a mark take turns, so that the frames nearest to it
come first. Neither reads a frame the other writes: what comes out is the same in
whatever order they run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import groupby
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from napari_vos.engines.base import Span
from napari_vos.session.marks import MarkKind, Marks, marks_of, object_ids

if TYPE_CHECKING:
    from napari_vos.store.record import Entry

Direction = Literal["both", "forward", "backward"]
"""Which arms to run."""


@dataclass(frozen=True)
class Reach:
    """Which part of what is pending to run.

    Attributes
    ----------
    frames
        First and last frame, inclusive; None for all. An arm that would have to
        cross other frames first stays pending.
    direction
        Which arms.
    """

    frames: tuple[int, int] | None = None
    direction: Direction = "both"

    def to_json(self) -> dict[str, Any]:
        """Return this ready for the journal."""
        return {
            "frames": None if self.frames is None else [int(t) for t in self.frames],
            "direction": self.direction,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Reach:
        """Return what `to_json` wrote."""
        frames = fields["frames"]
        return cls(None if frames is None else (frames[0], frames[1]), fields["direction"])


class Arm(NamedTuple):
    """How far the mark of an object was propagated in one direction.

    Attributes
    ----------
    until
        The last finished frame.
    leg
        The leg that finished it.
    ended
        Whether the object has ended on the way; what is left is to clear it from
        the frames beyond.
    """

    until: int
    leg: str
    ended: bool


Arms = Mapping[tuple[int, int, int], Arm]
"""By (frame of the mark, object id, direction); an arm that isn't in it is new."""


@dataclass(frozen=True)
class Leg:
    """A span, and how far to go on it in this round.

    Attributes
    ----------
    span
        What the engine is given. It always reaches to the natural end, so that
        fusion is the same whatever the range.
    until
        The last frame to run now.
    ended
        Whether the objects have ended before: their frames are cleared without
        asking the engine.
    follows
        The leg of an earlier round that this one continues.
    """

    span: Span
    until: int
    ended: bool = False
    follows: str | None = None

    @property
    def frames(self) -> range:
        """The frames to run, in order."""
        return range(self.span.frames.start, self.until + self.span.direction, self.span.direction)

    @property
    def passed(self) -> int:
        """Number of the pass: the first mark of every object runs before any second one."""
        return len(self.span.references)

    def to_json(self) -> dict[str, Any]:
        """Return this leg ready for the journal."""
        return {
            "start": self.span.start,
            "end": self.span.end,
            "until": self.until,
            "object_ids": list(self.span.object_ids),
            "references": list(self.span.references),
            "fuse_with": self.span.fuse_with,
            "done_until": self.span.done_until,
            "ended": self.ended,
            "follows": self.follows,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Leg:
        """Return the leg that `to_json` wrote."""
        span = Span(
            start=fields["start"],
            end=fields["end"],
            object_ids=tuple(fields["object_ids"]),
            references=tuple(fields["references"]),
            fuse_with=fields["fuse_with"],
            done_until=fields["done_until"],
        )
        return cls(span, fields["until"], fields["ended"], fields["follows"])


def plan_legs(
    marks: Marks,
    arms: Arms,
    n_frames: int,
    reach: Reach | None = None,
    *,
    can_follow: Callable[[str], bool] = lambda leg: True,
) -> tuple[Leg, ...]:
    """Return what is pending, in the order in which it has to run.

    Parameters
    ----------
    marks, arms
        What was said and what was run.
    n_frames
        Length of the stack.
    reach
        Which part of it; None for all.
    can_follow
        Whether the engine can go on from where a leg has stopped. What it can't
        go on from begins anew at the mark.
    """
    reach = reach or Reach()
    wanted = {"both": (1, -1), "forward": (1,), "backward": (-1,)}[reach.direction]
    batches: dict[Leg, list[tuple[int, int]]] = {}
    for object_id in object_ids(marks):
        for order, leg in _legs_of(marks, arms, n_frames, object_id, can_follow):
            if leg.span.direction not in wanted:
                continue
            limited = _limit(leg, reach.frames)
            if limited is not None:
                batches.setdefault(limited, []).append((order, object_id))
    legs = []
    for leg, members in batches.items():
        ids = tuple(sorted(object_id for _, object_id in members))
        first = min(order for order, _ in members)
        # Legs that take turns lie side by side.
        mark = (leg.passed, first, leg.span.start, leg.span.references)
        key = (mark, -leg.span.direction, leg.span.end, ids)
        legs.append((key, replace(leg, span=replace(leg.span, object_ids=ids))))
    return tuple(leg for _, leg in sorted(legs, key=lambda item: item[0]))


def nearest_first(legs: Sequence[Leg], rest: Sequence[range]) -> Iterator[int]:
    """Yield the index of the leg whose next frame is to be run, until none is left.

    Legs of the same user frames take turns, the two sides of the mark each until it is
    about twice as far from it: an engine that changes sides begins anew from its state,
    and reads ahead in vain, so it does so seldom. Legs on one side run one after the other,
    since the later ones see what the earlier ones have found.

    Parameters
    ----------
    legs
        In the order of `plan_legs`.
    rest
        The frames of each that are still to run.
    """
    for _, together in groupby(range(len(legs)), key=lambda index: legs[index].span.references):
        indices = list(together)
        sides = (
            [
                (abs(t - legs[index].span.start).bit_length(), index)
                for index in indices
                if legs[index].span.direction == direction
                for t in rest[index]
            ]
            for direction in (1, -1)
        )
        yield from (index for _, index in merge(*sides, key=lambda turn: turn[0]))


def sized(span: Span, entries: Mapping[int, Entry]) -> Span:
    """Return a span that knows how large its objects are.

    Parameters
    ----------
    span
        The span.
    entries
        What is there on its first frame.
    """
    shapes = [entries[i].box.shape for i in span.object_ids if i in entries]
    sides = [math.sqrt(height * width) for height, width in shapes]
    return replace(span, object_side=median(sides) if sides else None)


def n_frames_of(legs: Sequence[Leg]) -> int:
    """Return how many frames these legs run, counting a frame once per leg."""
    return sum(len(leg.frames) for leg in legs)


def _legs_of(
    marks: Marks,
    arms: Arms,
    n_frames: int,
    object_id: int,
    can_follow: Callable[[str], bool],
) -> Iterator[tuple[int, Leg]]:
    """Yield the pending arms of one object as legs without object ids, with their order."""
    own = marks_of(marks, object_id)
    present = {t: mark.order for t, mark in own.items() if mark.kind is MarkKind.PRESENT}
    in_order = sorted(present, key=lambda t: (present[t], t))
    for index, t in enumerate(in_order):
        for direction in (1, -1):
            neighbour = _neighbour(own, t, direction)
            end = arm_end(own, t, direction, n_frames)
            arm = arms.get((t, object_id, direction))
            done = t if arm is None else arm.until
            if (end - done) * direction <= 0:
                continue
            if arm is not None and not arm.ended and not can_follow(arm.leg):
                arm, done = None, t
            fuses = neighbour in present and (
                present[neighbour] < present[t] or (neighbour, object_id, -direction) in arms
            )
            span = Span(
                start=t,
                end=end,
                object_ids=(),
                references=tuple(in_order[: index + 1]),
                fuse_with=neighbour if fuses else None,
                done_until=None if arm is None else done,
            )
            if arm is None:
                yield present[t], Leg(span, end)
            else:
                yield present[t], Leg(span, end, arm.ended, arm.leg)


def arm_end(own: Iterable[int], t: int, direction: int, n_frames: int) -> int:
    """Return how far a mark reaches: the frame before the next of these, or the stack's end.

    Parameters
    ----------
    own
        The frames on which the object is marked.
    t
        Frame of the mark.
    direction
        1 forward, -1 backward.
    n_frames
        Length of the stack.
    """
    neighbour = _neighbour(own, t, direction)
    if neighbour is not None:
        return neighbour - direction
    return n_frames - 1 if direction > 0 else 0


def _neighbour(own: Iterable[int], t: int, direction: int) -> int | None:
    beyond = [frame for frame in own if (frame - t) * direction > 0]
    return min(beyond, key=lambda frame: abs(frame - t), default=None)


def _limit(leg: Leg, frames: tuple[int, int] | None) -> Leg | None:
    """Return `leg` as far as it lies in the range; None if it can't begin there."""
    if frames is None:
        return leg
    first, last = frames
    if not first <= leg.span.frames.start <= last:
        return None
    until = min(leg.until, last) if leg.span.direction > 0 else max(leg.until, first)
    return replace(leg, until=until)

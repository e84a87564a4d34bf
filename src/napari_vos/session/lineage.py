"""Who comes from whom: objects that begin beside one that has ended."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_vos.errors import PromptError
from napari_vos.io import EventRow, write_ctc, write_table
from napari_vos.session.prompting import SessionPrompts
from napari_vos.store.evidence import EndReason

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_vos.session.ledger import Ledger

BESIDE = 1.25
"""Two objects are beside each other if their centres are no further apart than this many times
the distance at which disks of their areas touch."""

GAP = 3
"""Frames between the end of a parent and the beginning of its child at most."""

MOST_CHILDREN = 2


class Place(NamedTuple):
    """Where an object begins or ends: the frame, its centre in pixels, and its area."""

    t: int
    y: float
    x: float
    area: int


class Parentage(NamedTuple):
    """An object that may come from another one.

    Attributes
    ----------
    child, parent
        Object ids.
    t
        First frame of the child.
    distance
        Of the centres, in pixels: the child's there, the parent's on its last frame.
    """

    child: int
    parent: int
    t: int
    distance: float


def match_parents(
    begun: Mapping[int, Place], ended: Mapping[int, Place], *, gap: int = GAP
) -> tuple[Parentage, ...]:
    """Give each object the nearest one that has ended beside it, and none more than two.

    Parameters
    ----------
    begun
        Objects on their first frames.
    ended
        Objects on their last frames.
    gap
        Frames between the two at most.
    """
    near = []
    for child, new in begun.items():
        for parent, old in ended.items():
            distance = math.hypot(new.y - old.y, new.x - old.x)
            touching = (math.sqrt(new.area) + math.sqrt(old.area)) / math.sqrt(math.pi)
            if 0 < new.t - old.t <= gap + 1 and distance <= BESIDE * touching:
                near.append(Parentage(child, parent, new.t, distance))
    found: dict[int, Parentage] = {}
    n_children: Counter[int] = Counter()
    for each in sorted(near, key=lambda each: each.distance):
        if each.child not in found and n_children[each.parent] < MOST_CHILDREN:
            found[each.child] = each
            n_children[each.parent] += 1
    return tuple(found[child] for child in sorted(found))


def place_of(mask: NDArray[np.bool_], t: int, top: int = 0, left: int = 0) -> Place | None:
    """Measure a mask (h, w) that lies at (top, left) of frame `t`; None if it is empty."""
    rows, columns = np.nonzero(mask)
    if not rows.size:
        return None
    return Place(t, float(rows.mean()) + top, float(columns.mean()) + left, rows.size)


def find_stays(ledger: Ledger) -> dict[int, tuple[int, int]]:
    """Return the first and the last frame of each object."""
    stays: dict[int, tuple[int, int]] = {}
    for t in range(ledger.n_frames):
        for object_id in ledger.index(t).entries:
            stays[object_id] = (stays.get(object_id, (t, t))[0], t)
    return stays


def find_ended(ledger: Ledger, stays: Mapping[int, tuple[int, int]]) -> dict[int, Place]:
    """Return the last places of objects that have ended, but for those that have left the frame."""
    ended = {}
    for object_id, (_, last) in stays.items():
        if not _is_known(ledger, last + 1):
            continue
        if _reason(ledger, object_id, last, 1) is EndReason.LEFT:
            continue
        place = _place(ledger, object_id, last)
        if place is not None:
            ended[object_id] = place
    return ended


def _place(ledger: Ledger, object_id: int, t: int) -> Place | None:
    entry = ledger.index(t).entries.get(object_id)
    if entry is None:  # gone since it was looked for
        return None
    box = entry.box
    return place_of(ledger.labels(t)[box.slices] == object_id, t, box.top, box.left)


def _is_known(ledger: Ledger, t: int) -> bool:
    """Tell whether `t` lies in the stack, and anything is known of it, if only that objects end."""
    if not 0 <= t < ledger.n_frames:
        return False
    found = ledger.index(t)
    return bool(found.entries or found.events)


def _reason(ledger: Ledger, object_id: int, t: int, direction: int) -> EndReason | None:
    """Return why an object isn't followed beyond frame `t`, as far as that was said."""
    beyond = t + direction
    if not 0 <= beyond < ledger.n_frames:
        return None
    for event in ledger.index(beyond).events:
        if (event.object_id, event.direction) == (object_id, direction):
            return event.reason
    return None


class SessionLineage(SessionPrompts):
    """A session that knows parents."""

    @property
    def parents(self) -> dict[int, int]:
        """The accepted parent by object id."""
        return dict(self._ledger.history.state.parents)

    def propose_parents(self) -> tuple[Parentage, ...]:
        """Find objects that begin beside one that has just ended.

        Those with an accepted parent are left out; nobody gets more than two children.
        Nothing is changed: see `accept_parents`.
        """
        stays, parents = find_stays(self._ledger), self.parents
        begun = {}
        for object_id, (first, _) in stays.items():
            place = _place(self._ledger, object_id, first) if first else None
            if place is not None and object_id not in parents:
                begun[object_id] = place
        n_children = Counter(parents.values())
        ended = find_ended(self._ledger, stays)
        return match_parents(
            begun, {i: place for i, place in ended.items() if n_children[i] < MOST_CHILDREN}
        )

    def accept_parents(self, parents: Mapping[int, int | None]) -> None:
        """Say from which object others come, in one step that can be undone.

        Parameters
        ----------
        parents
            The parent by object id; None takes one away.

        Raises
        ------
        PromptError
            If an object isn't known, or its parent doesn't end before it begins.
        """
        stays = find_stays(self._ledger)
        for child, parent in parents.items():
            self._check_object(child)
            if parent is None:
                continue
            self._check_object(parent)
            if stays[parent][1] >= stays[child][0]:
                raise PromptError(
                    f"Object {parent} can't be the parent of {child}: it is there until frame "
                    f"{stays[parent][1]}, and {child} begins on frame {stays[child][0]}. End "
                    f"{parent} before, or choose another parent."
                )
        said = {str(child): parent for child, parent in parents.items()}
        self._act(lambda: self._ledger.commit("accept_parents", {}, parents=said))

    def event_table(self) -> Iterator[EventRow]:
        """Yield a row for each beginning and each end within what is known, by frame."""
        stays, parents = find_stays(self._ledger), self.parents
        proposed = {each.child: each.parent for each in self.propose_parents()}
        n_children = Counter(parents.values())
        rows = []
        for i, (first, last) in stays.items():
            if _is_known(self._ledger, first - 1):
                why = _reason(self._ledger, i, first, -1)
                row = EventRow(first, i, "begins", why, parents.get(i), proposed.get(i))
                rows.append(row)
            if _is_known(self._ledger, last + 1):
                why = _reason(self._ledger, i, last, 1)
                has_divided = n_children[i] >= MOST_CHILDREN
                rows.append(
                    EventRow(last + 1, i, "ends", EndReason.DIVIDED if has_divided else why)
                )
        yield from sorted(rows, key=lambda row: (row.t, row.id))

    def tracks(self) -> tuple[NDArray[np.float64], dict[int, list[int]]]:
        """Return the tracks as napari's Tracks layer takes them.

        Returns
        -------
        data
            (N, 4): id, t, y, x, sorted by id and time.
        graph
            The accepted parent by object id.
        """
        rows = [(row.id, row.t, row.centroid_y, row.centroid_x) for row in self.table()]
        data = np.array(sorted(rows), float).reshape(-1, 4)
        there = set(data[:, 0].astype(int).tolist())
        graph = {i: [parent] for i, parent in self.parents.items() if {i, parent} <= there}
        return data, graph

    def export_events(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write `event_table` as CSV."""
        write_table(path, self.event_table(), kind=EventRow, overwrite=overwrite)

    def export_ctc(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write masks and accepted parents as the Cell Tracking Challenge has them.

        Takes and raises what `io.write_ctc` does.
        """
        write_ctc(path, self.labels, self.parents, overwrite=overwrite)

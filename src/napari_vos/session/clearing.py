"""What goes from a frame with an object: its evidence, its events, its locks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from napari_vos.session.marks import Mark, is_supported, marks_of
from napari_vos.store.record import Event, FrameRecord

if TYPE_CHECKING:
    from napari_vos.session.ledger import Ledger


def clear(
    ledger: Ledger,
    marks: Mapping[tuple[int, int], Mark],
    affected: Iterable[int],
    records: dict[int, FrameRecord],
    stretch: range = range(0),
) -> dict[int, set[int]]:
    """Add to `records` the frames that lose evidence which no mark supports any more.

    Parameters
    ----------
    ledger
        The session so far.
    marks
        As they are after the action.
    affected
        The objects whose marks change.
    records
        Records of the action; those of other frames are added.
    stretch
        Frames that lose these objects in any case.

    Returns
    -------
    dict
        The objects that each frame can't hold.
    """
    cleared: dict[int, set[int]] = {}
    for object_id in sorted(affected):
        own = marks_of(marks, object_id)
        for t in range(ledger.n_frames):
            if t in stretch or (t not in own and not is_supported(own, t)):
                cleared.setdefault(t, set()).add(object_id)
    for t, ids in cleared.items():
        if t not in records and holds(ledger, t, ids):
            records[t] = without(ledger, t, ids)
    return cleared


def holds(ledger: Ledger, t: int, ids: set[int]) -> bool:
    """Return whether frame `t` has evidence or events of any of these objects."""
    index = ledger.index(t)
    return not ids.isdisjoint({*index.entries, *(event.object_id for event in index.events)})


def without(ledger: Ledger, t: int, ids: set[int], events: tuple[Event, ...] = ()) -> FrameRecord:
    """Return frame `t` without some objects and their events, with other events instead.

    All other objects keep their pixels and gain none.
    """
    old, old_events = ledger.read(t)
    objects = {i: item for i, item in old.items() if i not in ids}
    kept = tuple(event for event in old_events if event.object_id not in ids)
    labels = ledger.labels(t)
    labels = np.where(np.isin(labels, list(ids)), np.uint16(0), labels)
    return FrameRecord(labels, objects, kept + events)


def unlocked(ledger: Ledger, cleared: Mapping[int, set[int]]) -> dict[str, list[int]]:
    """Return the locks that go with objects that are cleared from frames."""
    lost: dict[str, list[int]] = {}
    for t, ids in cleared.items():
        gone = sorted(ids & ledger.history.state.locked_ids(t))
        if gone:
            lost[str(t)] = gone
    return lost

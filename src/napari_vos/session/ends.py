"""Which ends that an engine tells of are believed where an earlier round has gone on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_vos.session.merge import cut_window

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari_vos.session.ledger import Ledger
    from napari_vos.session.reader import LedgerReader
    from napari_vos.session.spans import Leg
    from napari_vos.store.evidence import ObjectEvidence


def spared_objects(
    ledger: Ledger, reader: LedgerReader, leg: Leg, t: int, ends: Collection[int]
) -> frozenset[int]:
    """Return the objects whose end is not believed: what an earlier round holds of them stays.

    Between two user frames nothing ends. Beyond the last one an object does if the earlier
    round was on something else, as the user's frame shows. If it was on the same thing, its
    later course is as good as the news that there is none: a correction takes nothing away.

    Parameters
    ----------
    ledger
        The session.
    reader
        What the engine is given.
    leg
        What is being run.
    t
        The first frame on which the objects aren't any more.
    ends
        These objects.
    """
    if not ends:
        return frozenset()
    gone_on = {i for i in ends if _has_gone_on(ledger, leg, t, i)}
    if leg.span.fuse_with is not None:
        return frozenset(gone_on)
    earlier = reader.uncorrected(leg.span.start).objects
    now = ledger.objects(leg.span.start)
    both = gone_on & earlier.keys() & now.keys()
    return frozenset(i for i in both if _is_same(earlier[i], now[i]))


def _has_gone_on(ledger: Ledger, leg: Leg, t: int, object_id: int) -> bool:
    """Return whether an object was carried on from frame `t` as far as the leg runs, or ended."""
    for frame in (*range(t, leg.until, leg.span.direction), leg.until):
        known = ledger.index(frame)
        if object_id not in known.entries:
            return frame != t and any(event.object_id == object_id for event in known.events)
    return True


def _is_same(one: ObjectEvidence, other: ObjectEvidence) -> bool:
    """Return whether two masks share at least half of the smaller one."""
    mask = one.probability > 0.5
    shared = mask & (cut_window(other, one.box) > 0.5)
    smaller = min(int(mask.sum()), int((other.probability > 0.5).sum()))
    return 2 * int(shared.sum()) >= max(1, smaller)

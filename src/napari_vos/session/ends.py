"""Which ends that an engine tells of are believed where an earlier round has gone on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_vos.session.merge import cut_window
from napari_vos.store.evidence import EndReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_vos.session.ledger import Ledger
    from napari_vos.session.reader import LedgerReader
    from napari_vos.session.spans import Leg
    from napari_vos.store.evidence import ObjectEvidence


def spared_objects(
    ledger: Ledger, reader: LedgerReader, leg: Leg, t: int, ends: Mapping[int, EndReason]
) -> frozenset[int]:
    """Return the objects whose end is not believed: what an earlier round holds of them stays.

    Between two user frames nothing ends. Beyond the last one an object does if it has
    divided, or if the earlier round had followed something else. If both were on the
    same thing until then, the engine has only lost it, and a correction never takes away
    what was right.

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
        Why, by object id.
    """
    if not ends:
        return frozenset()
    last, rest = t - leg.span.direction, range(t, leg.span.end, leg.span.direction)
    held = [ledger.index(frame).entries.keys() for frame in (*rest, leg.span.end)]
    gone_on = {i for i in ends if all(i in each for each in held)}
    if leg.span.fuse_with is not None:
        return frozenset(gone_on)
    earlier = reader.uncorrected(last) if last == leg.span.start else reader.before(last)
    now = ledger.objects(last)
    return frozenset(
        i
        for i in gone_on & earlier.objects.keys() & now.keys()
        if ends[i] is not EndReason.DIVIDED and _is_same(earlier.objects[i], now[i])
    )


def _is_same(one: ObjectEvidence, other: ObjectEvidence) -> bool:
    """Return whether two masks share at least half of the smaller one."""
    mask = one.probability > 0.5
    shared = mask & (cut_window(other, one.box) > 0.5)
    smaller = min(int(mask.sum()), int((other.probability > 0.5).sum()))
    return 2 * int(shared.sum()) >= max(1, smaller)

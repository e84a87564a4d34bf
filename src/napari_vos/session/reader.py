"""The store as an engine sees it while it runs a leg."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from napari_vos.store.evidence import FrameEvidence, ObjectEnd

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_vos.engines.base import Span
    from napari_vos.session.history import Round
    from napari_vos.session.ledger import Ledger
    from napari_vos.store.evidence import ObjectEvidence
    from napari_vos.store.record import Event


class LedgerReader:
    """An `EvidenceReader` for one leg of a round.

    Parameters
    ----------
    ledger
        Where to read.
    current
        The round in work.
    leg
        Name of the leg in work.
    """

    def __init__(self, ledger: Ledger, current: Round, leg: str) -> None:
        self._ledger = ledger
        self._round = current
        self._leg = leg

    def read(self, t: int) -> FrameEvidence:
        """Return the current evidence of frame `t`."""
        return _evidence(t, *self._ledger.read(t))

    def before(self, t: int) -> FrameEvidence:
        """Return the evidence of frame `t` as it stood before this pass."""
        if t in self._round.before:
            return _evidence(t, *self._ledger.read_version(self._round.before[t]))
        return self.read(t)

    def uncorrected(self, t: int) -> FrameEvidence:
        """Return the evidence of frame `t` as the round before had left it."""
        version = self._ledger.history.uncorrected_version(t)
        return _evidence(t, *self._ledger.read_version(version))

    def state(self, t: int, span: Span) -> Mapping[str, NDArray[np.generic]]:
        """Return the state that was yielded with frame `t` of this span; empty if none was."""
        return self._ledger.state(self._leg, t) if t != span.start else {}


def _evidence(
    t: int, objects: Mapping[int, ObjectEvidence], events: tuple[Event, ...]
) -> FrameEvidence:
    ends = tuple(ObjectEnd(event.object_id, t, event.reason) for event in events)
    return FrameEvidence(t, objects, ends)

"""How much a new pass counts against what was believed before."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

from napari_vos.engines.fusion import blend
from napari_vos.engines.tracks import outline_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_vos.engines.base import EvidenceReader, Span
    from napari_vos.engines.tracks import Outline
    from napari_vos.store.evidence import ObjectEvidence


class Shares:
    """Tells how far to believe the pass of a span that is fused with another user frame's.

    The nearer of the two user frames counts more, and so does the one that shows more
    of an object that the frame's border cuts off: of a sliver that is about to leave,
    a pass learns little of what the whole object was like.

    Parameters
    ----------
    span
        With a frame to fuse with.
    evidence
        What is known on both user frames.
    shape
        (Y, X) of the frames.

    Raises
    ------
    ValueError
        If there is nothing to fuse with.
    """

    def __init__(self, span: Span, evidence: EvidenceReader, shape: tuple[int, int]) -> None:
        if span.fuse_with is None:
            raise ValueError("The span has nothing to fuse with.")
        self.span = span
        self.evidence = evidence
        self.shape = shape
        self.other_end = span.fuse_with

    def of(self, object_id: int, t: int) -> float:
        """Return the share of the new pass on frame `t`, in [0, 1]; what is left is the old's."""
        near = abs(self.other_end - t) / abs(self.other_end - self.span.start)
        odds = self._odds.get(object_id, 1.0)
        return odds * near / (odds * near + 1 - near)

    def blend(
        self, t: int, new: Mapping[int, ObjectEvidence], old: Mapping[int, ObjectEvidence]
    ) -> dict[int, ObjectEvidence]:
        """Return the evidence of `new` blended with the old one; what has none stays."""
        return {
            i: blend(item, old[i], self.of(i, t)) if i in old else item for i, item in new.items()
        }

    @cached_property
    def _odds(self) -> dict[int, float]:
        """Return how much more the span's user frame shows of objects than the other one does."""
        here = self.evidence.read(self.span.start).objects
        there = self.evidence.read(self.other_end).objects
        odds = {}
        for i in set(self.span.object_ids) & here.keys() & there.keys():
            one, other = (outline_of(side[i], self.shape) for side in (here, there))
            if one is not None and other is not None:
                odds[i] = _part_seen(one, other) / _part_seen(other, one)
        return odds


def _part_seen(outline: Outline, other: Outline) -> float:
    """Return how much of an object shows, in length, where another outline shows more of it."""
    return min(1.0, math.sqrt(outline.area / other.area)) if outline.is_cut_off else 1.0

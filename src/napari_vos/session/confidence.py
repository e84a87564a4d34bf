"""How good a propagated mask is likely to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_vos.store.evidence import expected_jaccard

if TYPE_CHECKING:
    from napari_vos.store.evidence import ObjectEvidence


def confidence_of(item: ObjectEvidence, before: ObjectEvidence | None) -> float:
    """Return the confidence of a propagated mask, in [0, 1].

    That is what its probabilities expect times the least that the engine has said on the
    way to it: the engine judges each frame as if the one before were right, but a
    mask that went astray stays so, however well it is followed.

    Parameters
    ----------
    item
        What the engine believes, with its own confidence.
    before
        The object on the frame it comes from; None if that is in no doubt.
    """
    least = item.confidence
    if before is not None:
        expected = expected_jaccard(before.probability)
        least = min(least, before.confidence / expected if expected else 0.0)
    return least * expected_jaccard(item.probability)

"""Which earlier frames a frame is read from, and how."""

from __future__ import annotations

from collections.abc import Sequence

LONG_TERM = (0, 5)
"""Frames that are remembered for good."""

SHORT_TERM = (1, 3, 5)
"""Ages of the frames that are remembered for a while."""

LONG_TERM_GAP = 15
"""References that are older, in frames, are read in two steps."""

MOST_DILATED = 4


def reference_frames(
    t: int, *, long_term: Sequence[int] = LONG_TERM, short_term: Sequence[int] = SHORT_TERM
) -> list[int]:
    """Return the frames that frame `t` is read from, in their order.

    Parameters
    ----------
    t
        Frame, counted from the one the user has marked.
    long_term
        Frames that are read from by all later ones.
    short_term
        Ages of further references, in frames.
    """
    long = {frame for frame in long_term if frame < t}
    return sorted(long | {t - age for age in short_term if age <= t})


def dilation_at(gap: int) -> int | None:
    """Return how far apart candidates of the first step are.

    Parameters
    ----------
    gap
        Age of the reference, in frames.

    Returns
    -------
    int or None
        In features. None for a reference that is young enough to be read in
        one step.
    """
    return min(MOST_DILATED, gap // LONG_TERM_GAP + 1) if gap > LONG_TERM_GAP else None

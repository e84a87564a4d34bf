"""What is believed about the objects of one frame.

Evidence is kept in windows: a box on the frame and the probability inside it.
There is no dense volume of probabilities anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Box(NamedTuple):
    """A half-open window on a frame, in data pixels, inside the frame."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of this box into a (Y, X) array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the box."""
        return self.bottom - self.top, self.right - self.left


class Source(StrEnum):
    """Where the evidence for an object on a frame comes from."""

    USER = "user"
    PROPAGATED = "propagated"
    DETECTED = "detected"


class EndReason(StrEnum):
    """Why an object isn't followed any further."""

    LEFT = "left"
    VANISHED = "vanished"
    DIVIDED = "divided"
    USER = "user"


@dataclass(frozen=True, eq=False)
class ObjectEvidence:
    """One object on one frame.

    Attributes
    ----------
    object_id
        The user's id, 1 to 65535.
    box
        Where the window lies on the frame.
    probability
        (height, width) of `box`, float16, in [0, 1]; 0 outside the box. Over
        all objects of a frame and background these sum to 1 at each pixel
        (soft aggregation), as long as they come from one round.
    confidence
        Expected Jaccard index of the mask, in [0, 1]; 1 for the user's own, the
        detector's score for what it has found.
    source
        Who said so.
    border
        What an engine that pads frames believes beyond the frame, float16, in an
        order of its own; None if it doesn't pad or hasn't said so.
    """

    object_id: int
    box: Box
    probability: NDArray[np.float16]
    confidence: float
    source: Source
    border: NDArray[np.float16] | None = None


@dataclass(frozen=True)
class ObjectEnd:
    """An object that is followed no further, from frame `t` on (in direction of the span)."""

    object_id: int
    t: int
    reason: EndReason


@dataclass(frozen=True, eq=False)
class FrameEvidence:
    """All that is believed about one frame.

    Attributes
    ----------
    t
        Frame index.
    objects
        By object id; an object that isn't there isn't in it.
    ends
        Objects that end at this frame.
    state
        What the engine needs to go on from here; small arrays by name.
    """

    t: int
    objects: Mapping[int, ObjectEvidence]
    ends: tuple[ObjectEnd, ...] = ()
    state: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)


def window_of(mask: NDArray[np.bool_]) -> Box | None:
    """Return the smallest box around a (Y, X) bool mask; None if it is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def expected_jaccard(probability: NDArray[np.floating]) -> float:
    """Return the Jaccard index that a mask has on average if its probabilities are right.

    Parameters
    ----------
    probability
        (height, width) in [0, 1]; the mask is what is more probable than not.

    Returns
    -------
    float
        In [0, 1]: the expected intersection over the expected union; 0 without a mask.
    """
    mask = probability > 0.5
    union = np.count_nonzero(mask) + float(probability[~mask].sum(dtype=np.float64))
    return float(probability[mask].sum(dtype=np.float64)) / union if union else 0.0

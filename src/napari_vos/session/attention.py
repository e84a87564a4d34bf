"""Where to look next: the frame on which a correction is worth most."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from napari_vos.store.evidence import EndReason

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

HALF = 3.0
"""At so many frames from a correction it changes half of what it changes at the next one."""

FARTHEST = 30
"""Frames beyond which a correction changes next to nothing."""

MOST_OBJECTS = 5
"""How many objects of a frame count: nobody corrects more than the worst."""

END_DOUBTS = {
    EndReason.LEFT: 0.2,
    EndReason.DIVIDED: 0.2,
    EndReason.VANISHED: 0.5,
    EndReason.USER: 0.0,
}
"""How likely it is that an object is there where it has ended."""


def worth_by_frame(
    doubts: Mapping[tuple[int, int], float], user_frames: Mapping[int, Collection[int]]
) -> dict[int, float]:
    """Return what a correction of each frame is worth.

    A correction of an object mends the frames around it, the nearer the more, up to
    the object's neighbouring user frames: of what each of them lacks as much as the
    corrected frame lacks too. So the middle of a doubtful stretch is worth more than
    one bad frame, and a frame beside one that the user has marked is worth little. A
    frame is worth what its `MOST_OBJECTS` most rewarding objects are.

    Parameters
    ----------
    doubts
        Expected share of its mask that each object lacks, in [0, 1], by (t, object id),
        where the user hasn't said what is right.
    user_frames
        The frames the user has marked, by object id.
    """
    n_frames = 1 + max((t for t, _ in doubts), default=-1)
    by_object: dict[int, NDArray[np.float64]] = defaultdict(lambda: np.zeros(n_frames))
    for (t, object_id), doubt in doubts.items():
        by_object[object_id][t] = doubt
    if not by_object:
        return {}
    gains = np.stack([_gains(lacks, user_frames[i]) for i, lacks in by_object.items()])
    worth = np.sort(gains, axis=0)[-MOST_OBJECTS:].sum(axis=0)
    return {t: float(worth[t]) for t in sorted({t for t, _ in doubts})}


def doubt_left(t: int, passed: Collection[int]) -> float:
    """Return how much of an object's doubt on frame `t` is left by frames where it was let pass.

    Whoever corrects a frame sees all its objects, and leaves those that are right.

    Parameters
    ----------
    t
        Frame index.
    passed
        The frames on which the user has accepted the object, or marked others alone.
    """
    distance = min((abs(t - each) for each in passed), default=None)
    return 1.0 if distance is None else distance / (HALF + distance)


def _gains(lacks: NDArray[np.float64], user_frames: Collection[int]) -> NDArray[np.float64]:
    """Return how much of what an object lacks (T,) a correction of each frame mends."""
    span = np.searchsorted(sorted(user_frames), np.arange(len(lacks)))
    gains = lacks.copy()
    for distance in range(1, min(FARTHEST + 1, len(lacks))):
        shared = np.minimum(lacks[distance:], lacks[:-distance]) * HALF / (HALF + distance)
        shared[span[distance:] != span[:-distance]] = 0
        gains[distance:] += shared
        gains[:-distance] += shared
    return gains

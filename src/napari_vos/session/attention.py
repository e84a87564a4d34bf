"""Where to look next: the frame on which a correction is worth most."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

REACH = 10
"""Frames from a user frame at which a correction is worth as much as it can be."""


def worth_by_frame(
    doubts: Mapping[tuple[int, int], float], user_frames: Mapping[int, Collection[int]]
) -> dict[int, float]:
    """Return what a correction of each frame is worth.

    It is the sum over the objects of the frame of what their masks lack, weighted
    by how far the object's nearest user frame is: close to one there is little
    to learn, and few frames in between that would gain.

    Parameters
    ----------
    doubts
        1 - confidence by (t, object id), where the user hasn't said what is right.
    user_frames
        The frames the user has marked, by object id.
    """
    worth: dict[int, float] = {}
    for (t, object_id), doubt in doubts.items():
        distance = min((abs(t - marked) for marked in user_frames[object_id]), default=REACH)
        worth[t] = worth.get(t, 0.0) + doubt * min(distance, REACH) / REACH
    return worth

"""Where the objects of a span are expected: position, motion, size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_vos.store.evidence import ObjectEvidence

MOTION_KEPT = 0.5
EXTENT_KEPT = 0.6


@dataclass(frozen=True)
class Outline:
    """Place and size of a mask, in data pixels.

    Attributes
    ----------
    center
        (y, x) of the centroid.
    extent
        Longest side of the box around it.
    area
        Number of pixels.
    touches_border
        Whether the mask reaches the frame's border.
    """

    center: tuple[float, float]
    extent: float
    area: int
    touches_border: bool


def outline_of(evidence: ObjectEvidence, shape: tuple[int, int]) -> Outline | None:
    """Measure the pixels more probable than not; None if there are none."""
    rows, columns = np.nonzero(evidence.probability > 0.5)
    if rows.size == 0:
        return None
    top, bottom = rows.min() + evidence.box.top, rows.max() + evidence.box.top
    left, right = columns.min() + evidence.box.left, columns.max() + evidence.box.left
    return Outline(
        (float(rows.mean() + evidence.box.top), float(columns.mean() + evidence.box.left)),
        float(max(bottom - top, right - left) + 1),
        rows.size,
        bool(top == 0 or left == 0 or bottom == shape[0] - 1 or right == shape[1] - 1),
    )


@dataclass
class Track:
    """Motion and size of one object as the span goes on.

    Attributes
    ----------
    velocity
        (y, x) per frame in the span's direction, smoothed.
    extent
        Longest side of the object's box, smoothed.
    growth
        Ratio of the last two areas.
    """

    velocity: NDArray[np.float64]
    extent: float
    growth: float = 1.0

    @classmethod
    def start(cls, outline: Outline) -> Track:
        """Return the track of an object that has just been marked."""
        return cls(np.zeros(2), outline.extent)

    def follow(self, before: Outline, now: Outline) -> None:
        """Take in one more frame."""
        step = np.subtract(now.center, before.center)
        self.velocity = MOTION_KEPT * self.velocity + (1 - MOTION_KEPT) * step
        self.extent = EXTENT_KEPT * self.extent + (1 - EXTENT_KEPT) * now.extent
        self.growth = now.area / before.area


def pack(
    tracks: Mapping[int, Track], kept: Sequence[int], batch_size: int
) -> dict[str, NDArray[np.generic]]:
    """Return the state to save with a frame: tracks by object id, kept frames, batch size."""
    return {
        "object_ids": np.array(list(tracks), np.int64),
        "velocity": np.array([track.velocity for track in tracks.values()]).reshape(-1, 2),
        "extent": np.array([track.extent for track in tracks.values()], np.float64),
        "growth": np.array([track.growth for track in tracks.values()], np.float64),
        "kept": np.array(kept, np.int64),
        "batch_size": np.array(batch_size, np.int64),
    }


def unpack(state: Mapping[str, NDArray[np.generic]]) -> tuple[dict[int, Track], list[int], int]:
    """Return what `pack` was given."""
    tracks = {
        int(object_id): Track(np.array(velocity), float(extent), float(growth))
        for object_id, velocity, extent, growth in zip(
            state["object_ids"], state["velocity"], state["extent"], state["growth"], strict=True
        )
    }
    return tracks, [int(t) for t in state["kept"]], int(state["batch_size"])

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

COMPACT = 0.4
"""Share of its box, made square, that a round or barred body fills at least."""

CUT = 0.5
"""Contact with the border, relative to the extent, from which an object is cut off."""


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
    contact
        Number of its pixels on the frame's border.
    """

    center: tuple[float, float]
    extent: float
    area: int
    contact: int

    @property
    def is_compact(self) -> bool:
        """Whether it fills its box and isn't cut off by the frame's border."""
        return self.area > COMPACT * self.extent**2 and not self.is_cut_off

    @property
    def is_cut_off(self) -> bool:
        """Whether the frame's border cuts it off."""
        return self.contact >= CUT * self.extent


def outline_of(evidence: ObjectEvidence, shape: tuple[int, int]) -> Outline | None:
    """Measure the pixels more probable than not; None if there are none."""
    rows, columns = np.nonzero(evidence.probability > 0.5)
    if rows.size == 0:
        return None
    rows, columns = rows + evidence.box.top, columns + evidence.box.left
    on_border = (rows == 0) | (rows == shape[0] - 1) | (columns == 0) | (columns == shape[1] - 1)
    return Outline(
        (float(rows.mean()), float(columns.mean())),
        float(max(np.ptp(rows), np.ptp(columns)) + 1),
        rows.size,
        int(on_border.sum()),
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

"""What a step has changed, to be looked at before it is accepted or undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.session.ledger import Ledger


class PixelChange(NamedTuple):
    """How many pixels an object has gained and lost on a frame."""

    gained: int
    lost: int


class ObjectChange(NamedTuple):
    """On how many frames an object has changed, and by how many pixels in all."""

    n_frames: int
    gained: int
    lost: int


@dataclass(frozen=True, eq=False)
class FrameChange:
    """A frame before and after a step.

    Attributes
    ----------
    before, after
        (Y, X) uint16 labels.
    """

    before: NDArray[np.uint16]
    after: NDArray[np.uint16]

    @property
    def n_pixels(self) -> int:
        """How many pixels differ."""
        return int(np.count_nonzero(self.before != self.after))

    @property
    def objects(self) -> dict[int, PixelChange]:
        """What each object has gained and lost, by its id; those that are as they were left out."""
        differs = self.before != self.after
        lost = _counts(self.before[differs])
        gained = _counts(self.after[differs])
        return {
            i: PixelChange(gained.get(i, 0), lost.get(i, 0))
            for i in sorted(lost.keys() | gained.keys())
        }


@dataclass(frozen=True)
class Changes:
    """What a step has changed.

    Attributes
    ----------
    action
        What the step was, as the journal names it: "round", "draw", "merge_objects",
        ...; empty if nothing was done.
    frames
        What each object has gained and lost, by its id, on each frame of which a
        pixel differs.
    n_pixels
        How many pixels differ, on all frames together.
    """

    action: str
    frames: Mapping[int, Mapping[int, PixelChange]]
    n_pixels: int

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects of which any pixel differs, ascending."""
        return tuple(sorted({i for objects in self.frames.values() for i in objects}))

    @property
    def by_object(self) -> dict[int, ObjectChange]:
        """What each object has gained and lost in all."""
        found = {}
        for i in self.object_ids:
            several = [objects[i] for objects in self.frames.values() if i in objects]
            gained, lost = (sum(each) for each in zip(*several, strict=True))
            found[i] = ObjectChange(len(several), gained, lost)
        return found

    def __str__(self) -> str:
        """Return a line such as "12 frames, 3 objects, 540 pixels"."""
        counts = (len(self.frames), len(self.object_ids), self.n_pixels)
        nouns = ("frame", "object", "pixel")
        return ", ".join(
            f"{count} {noun}{'' if count == 1 else 's'}"
            for count, noun in zip(counts, nouns, strict=True)
        )


def changes_of_latest_step(ledger: Ledger) -> Changes:
    """Compare all frames that the latest step has changed with what they were."""
    frames, n_pixels = {}, 0
    for t in ledger.latest_frames():
        change = FrameChange(*ledger.latest_change(t))
        if change.n_pixels:
            frames[t] = change.objects
            n_pixels += change.n_pixels
    done = ledger.history.done
    return Changes(done[-1].line["action"] if done else "", frames, n_pixels)


def _counts(labels: NDArray[np.uint16]) -> dict[int, int]:
    ids, counts = np.unique(labels[labels > 0], return_counts=True)
    return dict(zip(ids.tolist(), counts.tolist(), strict=True))

"""What an evaluation gives."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class PairScore(NamedTuple):
    """One object on one frame.

    Attributes
    ----------
    t
        Frame index.
    object_id
        The object.
    j, f
        Region similarity and boundary accuracy, in [0, 1].
    """

    t: int
    object_id: int
    j: float
    f: float


@dataclass(frozen=True)
class ObjectScore:
    """Means over several pairs.

    Attributes
    ----------
    j, f
        Region similarity and boundary accuracy, in [0, 1].
    n_pairs
        How many (object, frame) pairs the means are of.
    """

    j: float
    f: float
    n_pairs: int

    @property
    def jf(self) -> float:
        """J&F, the mean of both."""
        return (self.j + self.f) / 2


@dataclass(frozen=True)
class Scores:
    """How well a result agrees with the truth.

    Attributes
    ----------
    pairs
        Every scored (object, frame) pair, by frame, then by object.
    n_held
        Number of scored objects that the result holds on completely annotated
        frames, summed over these frames.
    n_ended
        Number of scored objects that the truth has ended there, summed likewise.
    n_ghosts
        Number of them that the result holds nevertheless.
    """

    pairs: tuple[PairScore, ...]
    n_held: int
    n_ended: int
    n_ghosts: int

    @property
    def j(self) -> float:
        """Region similarity: the mean over objects of the mean over their frames."""
        return fmean(score.j for score in self.by_object.values())

    @property
    def f(self) -> float:
        """Boundary accuracy, averaged likewise."""
        return fmean(score.f for score in self.by_object.values())

    @property
    def jf(self) -> float:
        """J&F, the mean of both."""
        return (self.j + self.f) / 2

    @property
    def ghosts(self) -> float:
        """Share of ghosts among what the result holds; 0 if it holds nothing."""
        return self.n_ghosts / self.n_held if self.n_held else 0.0

    @cached_property
    def by_object(self) -> Mapping[int, ObjectScore]:
        """Means over the frames of each object, by its id."""
        return _means(self.pairs, lambda pair: pair.object_id)

    @cached_property
    def by_frame(self) -> Mapping[int, ObjectScore]:
        """Means over the objects of each frame, by its index."""
        return _means(self.pairs, lambda pair: pair.t)

    def summary(self) -> dict[str, Any]:
        """Return the figures, and those of each object, ready for JSON."""
        return {
            "J": self.j,
            "F": self.f,
            "J&F": self.jf,
            "ghosts": self.ghosts,
            "n_objects": len(self.by_object),
            "n_pairs": len(self.pairs),
            "n_held": self.n_held,
            "n_ended": self.n_ended,
            "n_ghosts": self.n_ghosts,
            "objects": {str(i): asdict(score) for i, score in self.by_object.items()},
        }


def _means(pairs: tuple[PairScore, ...], key: Callable[[PairScore], int]) -> dict[int, ObjectScore]:
    groups: dict[int, list[PairScore]] = defaultdict(list)
    for pair in pairs:
        groups[key(pair)].append(pair)
    return {
        k: ObjectScore(fmean(p.j for p in group), fmean(p.f for p in group), len(group))
        for k, group in sorted(groups.items())
    }

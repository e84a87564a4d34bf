"""The contracts between a session and its engines.

An engine reads frames and evidence, and yields evidence. It knows neither
layers nor rounds nor undo, and can be closed at any yield.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_vos.prompts import Drawing
    from napari_vos.store.evidence import FrameEvidence


@dataclass(frozen=True)
class Span:
    """A stretch of frames through which some objects are propagated together.

    Attributes
    ----------
    start
        The user frame from which to go; its evidence is known.
    end
        The last frame to predict, inclusive; on either side of `start`.
    object_ids
        The objects that move, ascending. All others are frozen evidence. In a
        resumed run those that have ended are missing: look state up by id.
    references
        The user frames of these objects in the order of interaction. Always
        contains `start`.
    fuse_with
        The user frame just beyond `end` with which the new evidence is fused; None
        if there is nothing to fuse with.
    done_until
        The last frame this span has finished already (a resumed run), or None.
    object_side
        The median side of the objects on `start`, in pixels; None if it isn't known.
    """

    start: int
    end: int
    object_ids: tuple[int, ...]
    references: tuple[int, ...]
    fuse_with: int | None = None
    done_until: int | None = None
    object_side: float | None = field(default=None, compare=False)

    @property
    def direction(self) -> int:
        """1 forward in time, -1 backward."""
        return 1 if self.end >= self.start else -1

    @property
    def frames(self) -> range:
        """The frames still to predict, in order."""
        first = (self.start if self.done_until is None else self.done_until) + self.direction
        return range(first, self.end + self.direction, self.direction)


@dataclass(frozen=True)
class Estimate:
    """What a run will take, said before it starts.

    Attributes
    ----------
    memory
        Peak bytes on the device (in host memory if the device is the CPU).
    seconds
        Time for all spans.
    object_frames
        Number of (object, frame) pairs to predict.
    n_objects
        Objects of the span that takes most memory.
    object_memory
        Bytes that each of them adds to `memory`; 0 if that hardly depends on how
        many there are.
    """

    memory: int
    seconds: float
    object_frames: int
    n_objects: int = 0
    object_memory: int = 0


class EvidenceReader(Protocol):
    """The store as an engine sees it."""

    def read(self, t: int) -> FrameEvidence:
        """Return the current evidence of frame `t`; without objects if there is none.

        It can lack an object of the span (the user painted over it), and on an
        accepted frame it is the accepted one.

        Probabilities are those of the store: float16 whether or not they ever
        left memory, so that resumed and uninterrupted runs agree.
        """
        ...

    def before(self, t: int) -> FrameEvidence:
        """Return the evidence of frame `t` as it stood before this pass of the round."""
        ...

    def uncorrected(self, t: int) -> FrameEvidence:
        """Return the evidence of user frame `t` as the round before had left it."""
        ...

    def state(self, t: int, span: Span) -> Mapping[str, NDArray[np.generic]]:
        """Return the state yielded with frame `t` of `span` in this pass; empty if none was."""
        ...


class Propagator(Protocol):
    """Carries masks through time."""

    @property
    def plan(self) -> Mapping[str, object]:
        """All that decides the result beside images and prompts, ready for JSON.

        Engine, weights hash, configuration, device, precision, threads, batch
        size, versions. `create_propagator(..., plan=plan)` gives the same engine.
        """
        ...

    def estimate(self, spans: Sequence[Span]) -> Estimate:
        """Return what propagating `spans` will take."""
        ...

    def propagate(self, span: Span, evidence: EvidenceReader) -> Iterator[FrameEvidence]:
        """Predict the frames of `span` in order and yield the evidence of each.

        What is yielded holds the objects of the span alone, aggregated with the
        frozen ones. The session writes it before the next frame is asked for;
        the engine reads it back through `evidence`. An object that ends at a
        frame has no evidence there. Stop early only once all objects have ended.
        """
        ...


class Interactor(Protocol):
    """Makes masks of what is drawn on a frame."""

    @property
    def plan(self) -> Mapping[str, object]:
        """All that decides the result beside images and prompts, ready for JSON."""
        ...

    def segment(self, drawing: Drawing, previous: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Return the masks of the objects that are drawn.

        Parameters
        ----------
        drawing
            What is drawn. An object without a positive stroke or a box is in
            `previous`.
        previous
            (Y, X), the labels of the frame so far. Objects that aren't drawn lose
            no pixel but under strokes.

        Returns
        -------
        ndarray
            (Y, X) uint16, 0 where none of the drawn objects is. The session sees
            to it that strokes are obeyed pixel by pixel.
        """
        ...


class Refiner(Protocol):
    """Makes masks of reduced scale sharp at full resolution."""

    @property
    def plan(self) -> Mapping[str, object]:
        """All that decides the result beside images and masks, ready for JSON."""
        ...

    def refine(self, t: int, evidence: FrameEvidence) -> FrameEvidence:
        """Return the evidence of frame `t` with sharper borders.

        Every object stays, under its id: one that would hardly be recognised is
        returned as it was. So are objects the user painted, and all but the
        borders of the others.
        """
        ...


@dataclass(frozen=True)
class FrameInstances:
    """What was found on a frame; D instances, the most certain first.

    Attributes
    ----------
    labels
        (Y, X) uint16: instance i has label i + 1, none is empty.
    scores
        (D,) float32 in [0, 1].
    classes
        (D,) integers, from 0, as the detector's weights know them.
    boxes
        (D, 4) float32 (top, left, bottom, right) in pixels, inside the frame.
    """

    labels: NDArray[np.uint16]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    boxes: NDArray[np.float32]


class Combination(NamedTuple):
    """How the mask of an instance is made of P prototypes.

    Attributes
    ----------
    prototypes
        (P, H, W) float32: what the network saw, at its own scale.
    coefficients
        (P,) float32: their weights.
    mask
        (H, W) float32: the activation of the weighted sum, by itself the sigmoid, cut off
        at the box; what has more than 0.5 is inside.
    """

    prototypes: NDArray[np.float32]
    coefficients: NDArray[np.float32]
    mask: NDArray[np.float32]


Kind: TypeAlias = int | Collection[int] | None
"""A class of the detector's weights, from 0, or several; None for all."""


class RawDetections(Protocol):
    """What a detector has seen on a frame: thresholds are applied without looking again."""

    @property
    def nbytes(self) -> int:
        """Main memory it takes, about."""
        ...

    def instances(self, *, score: float, overlap: float, kind: Kind = None) -> FrameInstances:
        """Return the instances these thresholds leave.

        Parameters
        ----------
        score
            In [0, 1]: only what has more is an instance.
        overlap
            In [0, 1]: of two whose boxes overlap (IoU) more the better is kept,
            and so it is if better ones cover more of a mask.
        kind
            The class to look for, or several; None for all.

        Raises
        ------
        NapariVosError
            If the weights know no such class.
        """
        ...

    def combination(
        self, label: int, *, score: float, overlap: float, kind: Kind = None
    ) -> Combination:
        """Return how a mask is made; `label` is one that `instances` gives at these thresholds."""
        ...


class Detector(Protocol):
    """Finds the instances of a frame, without being told where any are."""

    @property
    def plan(self) -> Mapping[str, object]:
        """All that decides the result beside images and thresholds, ready for JSON."""
        ...

    def detect(self, t: int) -> RawDetections:
        """Look at frame `t`."""
        ...

"""Refinement in the loop: borders are found again as the last step of each propagated frame.

It stands between an engine and the session, and the engine doesn't know of it. What the
engine reads back is refined already.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import torch

from napari_vos import checkpoints
from napari_vos.engines.border_features import HALO, TILE
from napari_vos.engines.plans import check_weights
from napari_vos.engines.reduced import ReducedReader, enlarge_evidence
from napari_vos.engines.refinement import MaskRefiner
from napari_vos.engines.windows import CONTEXT, WINDOW_SIZE
from napari_vos.frames.reduced import reduce_frames
from napari_vos.networks.compact import IMAGE_CHANNELS
from napari_vos.networks.refinement import LAYOUT_CHANNELS
from napari_vos.store.evidence import FrameEvidence

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_vos.engines.base import Estimate, EvidenceReader, Propagator, Span
    from napari_vos.engines.mast import MastPropagator
    from napari_vos.engines.mivos import MivosPropagator
    from napari_vos.frames import FrameStack
    from napari_vos.store.evidence import ObjectEvidence

SCALES = {"full": 1, "half": 2, "quarter": 4}
"""Pixels of the images per pixel that the engine sees, by the setting `refine`."""

STRIDE = 4
"""Pixels that MiVOS sees per position of its masks."""

LARGEST_FACTOR = 8

PIXEL_BYTES = 80
"""Memory of the features of a frame, per pixel."""


@dataclass(frozen=True)
class RefinedPropagator:
    """Propagates with another engine, at full or reduced scale, and refines each frame.

    The compact engine's objects are refined where their windows are clearly larger
    than the network's, from the scale of the window. What the user has painted, and
    objects of other spans, never change.

    Make one with `RefinedPropagator.create`.
    """

    inner: Propagator
    refiner: MaskRefiner
    scale: int
    plan: Mapping[str, object]

    @classmethod
    def create(
        cls,
        make: Callable[[FrameStack], Propagator],
        frames: FrameStack,
        *,
        refine: str,
        plan: Mapping[str, Any] | None = None,
    ) -> RefinedPropagator:
        """Make the engine, load the refiner, and settle the plan.

        Parameters
        ----------
        make
            Makes the engine for a stack.
        frames
            The images at full scale.
        refine
            One of `SCALES`: that of the stack the engine sees.
        plan
            Of an earlier run that is to be repeated.

        Raises
        ------
        NapariVosError
            If there are no weights for refinement, the plan was made with others, or
            the engine can't be made.
        """
        scale = SCALES[refine]
        inner = make(frames if scale == 1 else reduce_frames(frames, scale))
        refiner = MaskRefiner.create(frames, device=str(inner.plan["device"]))
        path = checkpoints.resolve(None, "refinement")
        settled = {
            **inner.plan,
            "refinement_weights": path.name,
            "refinement_weights_sha256": check_weights(
                "refinement", path, plan, "refinement_weights_sha256"
            ),
        }
        return cls(inner, refiner, scale, settled)

    def estimate(self, spans: Sequence[Span]) -> Estimate:
        """Return what the engine will take, and the features of a frame's borders besides."""
        estimate = self.inner.estimate([self._seen(span) for span in spans])
        height, width = self.refiner.frames.shape
        n_tiles = sum(
            len(span.frames) * min(self._border_tiles(span), math.ceil(height * width / TILE**2))
            for span in spans
        )
        return replace(
            estimate,
            memory=estimate.memory + PIXEL_BYTES * height * width,
            seconds=estimate.seconds + (self._seconds_per_tile() * n_tiles if n_tiles else 0),
        )

    def propagate(self, span: Span, evidence: EvidenceReader) -> Iterator[FrameEvidence]:
        """Predict the frames of `span` in order; see `Propagator.propagate`."""
        shape = self.refiner.frames.shape
        reader = evidence if self.scale == 1 else ReducedReader(evidence, shape, self.scale)
        found = self.inner.propagate(self._seen(span), reader)
        with closing(cast("Generator[FrameEvidence]", found)) as frames:
            for frame in frames:
                yield self._refined(span, frame, evidence)

    def _refined(self, span: Span, found: FrameEvidence, evidence: EvidenceReader) -> FrameEvidence:
        factors = {i: self.factor(span, item) for i, item in found.objects.items()}
        factors = {i: factor for i, factor in factors.items() if factor > 1}
        if not factors:
            return found
        objects = dict(found.objects)
        if self.scale > 1:
            shape = self.refiner.frames.shape
            objects = {i: enlarge_evidence(x, shape, self.scale) for i, x in objects.items()}
        others = evidence.read(found.t).objects
        frozen = {i: item for i, item in others.items() if i not in span.object_ids}
        together = FrameEvidence(found.t, {**frozen, **objects})
        refined = self.refiner.refine(found.t, together, factors=factors).objects
        return replace(found, objects={i: refined[i] for i in objects})

    def factor(self, span: Span, item: ObjectEvidence) -> int:
        """Return from which scale an object is refined, to the next power of two; 1 if not.

        Parameters
        ----------
        span
            What is propagated.
        item
            The object as the engine has found it.
        """
        if self.plan["engine"] == "compact":
            return nearest_factor(CONTEXT * max(item.box.shape) / WINDOW_SIZE)
        seen = self._seen(span)
        if self.plan["engine"] == "mivos":
            pixels = STRIDE / cast("MivosPropagator", self.inner).scale(seen)
        else:
            pixels = float(cast("MastPropagator", self.inner).spacing(seen))
        return nearest_factor(pixels * self.scale)

    def _seen(self, span: Span) -> Span:
        """Return a span with the size of its objects as the engine sees them."""
        side = span.object_side
        return replace(span, object_side=None if side is None else side / self.scale)

    def _border_tiles(self, span: Span) -> int:
        """Return about how many tiles the borders of the span's objects touch on a frame."""
        side = span.object_side or TILE
        if self.plan["engine"] == "compact" and CONTEXT * side < math.sqrt(2) * WINDOW_SIZE:
            return 0
        return len(span.object_ids) * math.ceil(4 * side / TILE)

    @torch.inference_mode()
    def _seconds_per_tile(self) -> float:
        side = TILE + 2 * HALO
        zeros = torch.zeros(1, IMAGE_CHANNELS, side, side, device=self.refiner.device)
        tile = zeros, zeros[:, :LAYOUT_CHANNELS]
        self.refiner.network.encode(*tile)  # the first call is slower
        started = time.perf_counter()
        self.refiner.network.encode(*tile)[0].cpu()
        return time.perf_counter() - started


def nearest_factor(pixels: float) -> int:
    """Return the factor for masks at a scale of so many pixels of the image per pixel."""
    return min(LARGEST_FACTOR, 1 << max(0, round(math.log2(pixels))))

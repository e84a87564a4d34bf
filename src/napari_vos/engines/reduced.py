"""Evidence at the scale of an engine that sees reduced frames, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_vos.engines.coarse_windows import coarsen, enlarge, grid_shape
from napari_vos.store.evidence import Box, FrameEvidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.engines.base import EvidenceReader, Span
    from napari_vos.store.evidence import ObjectEvidence


@dataclass(frozen=True)
class ReducedReader:
    """An `EvidenceReader` that shows the store at reduced scale.

    Attributes
    ----------
    evidence
        The store at the images' scale.
    shape
        (Y, X) of the images.
    scale
        Pixels of the images per pixel that is shown.
    """

    evidence: EvidenceReader
    shape: tuple[int, int]
    scale: int

    def read(self, t: int) -> FrameEvidence:
        """Return what `EvidenceReader.read` does."""
        return self._reduced(self.evidence.read(t))

    def before(self, t: int) -> FrameEvidence:
        """Return what `EvidenceReader.before` does."""
        return self._reduced(self.evidence.before(t))

    def uncorrected(self, t: int) -> FrameEvidence:
        """Return what `EvidenceReader.uncorrected` does."""
        return self._reduced(self.evidence.uncorrected(t))

    def state(self, t: int, span: Span) -> Mapping[str, NDArray[np.generic]]:
        """Return what `EvidenceReader.state` does: an engine's state is its own."""
        return self.evidence.state(t, span)

    def _reduced(self, frame: FrameEvidence) -> FrameEvidence:
        objects = {i: reduce_evidence(x, self.shape, self.scale) for i, x in frame.objects.items()}
        return replace(frame, objects=objects)


def reduce_evidence(item: ObjectEvidence, shape: tuple[int, int], scale: int) -> ObjectEvidence:
    """Return an object of a frame of (Y, X) `shape` by the means of `scale` x `scale` pixels."""
    window = coarsen(item, shape, scale)
    return replace(item, box=window.cells, probability=window.coarse.numpy().astype(np.float16))


def enlarge_evidence(item: ObjectEvidence, shape: tuple[int, int], scale: int) -> ObjectEvidence:
    """Return an object, seen at reduced scale, on a frame of (Y, X) `shape`: bilinear."""
    rows, columns = grid_shape(shape, scale)
    box = item.box
    # Outside its box an object fades to 0; at the frame's rim it goes on.
    cells = Box(
        max(box.top - 1, 0),
        max(box.left - 1, 0),
        min(box.bottom + 1, rows),
        min(box.right + 1, columns),
    )
    small = torch.zeros(cells.shape)
    inner = slice(box.top - cells.top, box.bottom - cells.top)
    small[inner, box.left - cells.left : box.right - cells.left] = torch.from_numpy(
        item.probability.astype(np.float32)
    )
    top, left, bottom, right = (side * scale for side in cells)
    around = Box(top, left, min(bottom, shape[0]), min(right, shape[1]))
    height, width = around.shape
    large = enlarge(small, scale)[:height, :width]
    return replace(item, box=around, probability=large.numpy().astype(np.float16))

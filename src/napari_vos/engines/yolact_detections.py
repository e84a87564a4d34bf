"""What YOLACT has found on a frame, before thresholds: they can be changed without the network."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from napari_vos.engines.base import Combination, FrameInstances, Kind
from napari_vos.errors import NapariVosError
from napari_vos.networks.yolact import (
    Candidates,
    Detections,
    small_masks,
    suppress_across_classes,
)
from napari_vos.networks.yolact.boxes import in_pixels
from napari_vos.networks.yolact.masks import resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_PIXELS = 2**24
"""Of masks that are brought to the frame's size at once."""


@dataclass(frozen=True)
class YolactDetections:
    """Candidates and prototypes of a frame, in main memory.

    Attributes
    ----------
    candidates
        The priors worth a look.
    prototypes
        (H', W', 32), float32 or float16; computed is with float32.
    size
        (Y, X) of the frame.
    score_masks
        The network that judges masks, if there is one.
    max_instances
        No more are kept.
    activation
        What makes masks of weighted prototypes.
    """

    candidates: Candidates
    prototypes: Tensor
    size: tuple[int, int]
    score_masks: Callable[[Tensor], Tensor] | None
    max_instances: int
    activation: Callable[[Tensor], Tensor] = torch.sigmoid

    @property
    def nbytes(self) -> int:
        """Main memory of prototypes and candidates."""
        return sum(values.nbytes for values in (self.prototypes, *self.candidates))

    def instances(
        self, *, score: float = 0.3, overlap: float = 0.5, kind: Kind = None
    ) -> FrameInstances:
        """Return what these thresholds leave; see `RawDetections.instances`."""
        found, _, labels = self._find(score, overlap, kind)
        corners = in_pixels(found.boxes, self.size)
        return FrameInstances(
            labels, found.scores.numpy(), found.classes.numpy(), corners[:, [1, 0, 3, 2]].numpy()
        )

    def combination(
        self, label: int, *, score: float, overlap: float, kind: Kind = None
    ) -> Combination:
        """Return how a mask is made; see `RawDetections.combination`."""
        found, masks, _ = self._find(score, overlap, kind)
        return Combination(
            self.prototypes.float().movedim(-1, 0).numpy(),
            found.coefficients[label - 1].numpy(),
            masks[label - 1].numpy(),
        )

    @torch.inference_mode()
    def _find(
        self, score: float, overlap: float, kind: Kind
    ) -> tuple[Detections, Tensor, NDArray[np.uint16]]:
        """Return the visible instances, their small masks, and the labels they come to."""
        candidates = self.candidates
        if kind is not None:
            kinds = _checked(kind, candidates.scores.shape[1])
            wanted = torch.zeros_like(candidates.scores)
            wanted[:, kinds] = candidates.scores[:, kinds]
            candidates = candidates._replace(scores=wanted)
        detections = suppress_across_classes(
            candidates,
            overlap=overlap,
            top_k=2 * self.max_instances,
            max_detections=self.max_instances,
        )
        kept = detections.scores > score
        detections = Detections(*(values[kept] for values in detections))
        masks, scores = small_masks(
            detections,
            self.prototypes.float(),
            activation=self.activation,
            score_masks=self.score_masks,
        )
        order = scores.argsort(descending=True, stable=True)
        labels, visible = self._paint(masks[order], overlap)
        order = order[visible]
        found = detections._replace(scores=scores)
        return Detections(*(values[order] for values in found)), masks[order], labels

    def _paint(self, masks: Tensor, overlap: float) -> tuple[NDArray[np.uint16], list[int]]:
        """Return labels 1 to V, and which of the masks, the best first, they are."""
        labels = np.zeros(self.size, np.uint16)
        visible: list[int] = []
        for first in range(0, len(masks), step := self._chunk()):
            for index, mask in enumerate(resize(masks[first : first + step], self.size), first):
                inside = mask.numpy()
                free = inside & (labels == 0)
                if free.any() and free.sum() >= (1 - overlap) * inside.sum():
                    visible.append(index)
                    labels[free] = len(visible)
        return labels, visible

    def _chunk(self) -> int:
        return max(1, CHUNK_PIXELS // (self.size[0] * self.size[1]))


def _checked(kind: int | Collection[int], n_classes: int) -> list[int]:
    kinds = [kind] if isinstance(kind, int) else sorted(kind)
    unknown = [each for each in kinds if not 0 <= each < n_classes]
    if unknown:
        raise NapariVosError(
            f"Class {unknown[0]} is looked for, and the weights know the classes 0 to "
            f"{n_classes - 1}. Choose one of these, or all, or other weights."
        )
    return kinds

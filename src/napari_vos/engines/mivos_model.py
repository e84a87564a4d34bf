"""The steps of MiVOS on tensors: remember, find, fuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from napari_vos.networks.mivos import (
    FusionNetwork,
    PropagationNetwork,
    Query,
    aggregate,
    attend_differences,
    sum_of_others,
)

if TYPE_CHECKING:
    from torch import Tensor


class Memory(NamedTuple):
    """What is remembered of K objects at N positions.

    Attributes
    ----------
    key
        (K, N, 128).
    value
        (K, N, 512); position by position, since it is read so.
    """

    key: Tensor
    value: Tensor

    def of(self, objects: slice) -> Memory:
        """Return what is remembered of some of the objects."""
        return Memory(self.key[objects], self.value[objects])


class Correction(NamedTuple):
    """What an interaction has changed on its frame, for fusion.

    Attributes
    ----------
    key
        (K, N, 128), the memory key of that frame alone.
    differences
        (K, 2, H, W) in [0, 1]: what was added, and what was removed.
    """

    key: Tensor
    differences: Tensor

    @classmethod
    def between(cls, key: Tensor, before: Tensor, after: Tensor) -> Correction:
        """Compare (K, 1, H, W) probabilities before an interaction with its masks."""
        added = (after - before).clamp(0, 1)
        removed = (before - after).clamp(0, 1)
        return cls(key, torch.cat([added, removed], dim=1))


@dataclass(frozen=True)
class MivosModel:
    """The two networks, `batch_size` objects at a time.

    Images are (1, 3, H, W), masks and probabilities (K, 1, H, W) float32 in
    [0, 1], all on the networks' device. H and W are multiples of 16.
    """

    propagation: PropagationNetwork
    fusion: FusionNetwork | None
    dtype: torch.dtype
    top_k: int
    batch_size: int

    @torch.inference_mode()
    def encode(self, image: Tensor) -> Query:
        """Return what a frame is asked for."""
        return self.propagation.encode(image.to(self.dtype))

    @torch.inference_mode()
    def memorize(self, image: Tensor, masks: Tensor, frozen: Tensor) -> Memory:
        """Return what to remember of objects in a frame.

        Parameters
        ----------
        image
            The frame.
        masks
            Of the objects.
        frozen
            Of all other objects, (F, 1, H, W); they are seen and not remembered.
        """
        others = sum_of_others(masks) + frozen.sum(dim=0, keepdim=True)
        image, masks, others = (x.to(self.dtype) for x in (image, masks, others))
        parts = [
            self.propagation.memorize(image, masks[some], others[some])
            for some in self._batches(len(masks))
        ]
        keys, values = (torch.cat(tensors).transpose(1, 2) for tensors in zip(*parts, strict=True))
        return Memory(keys.contiguous(), values.contiguous())

    @torch.inference_mode()
    def find(self, query: Query, memory: Memory, frozen: Tensor) -> Tensor:
        """Return (K+1, 1, H, W), background first: objects competing with each other and `frozen`.

        Without frozen objects this sums to 1 at each pixel.
        """

        def alone(some: slice) -> Tensor:
            key, value = memory.of(some)
            logits: Tensor = self.propagation(
                query, key.transpose(1, 2), value.transpose(1, 2), top_k=self.top_k
            )
            return logits

        return self._compete(alone, len(memory.key), frozen)

    @torch.inference_mode()
    def fuse(
        self,
        image: Tensor,
        query: Query,
        *,
        old: Tensor,
        new: Tensor,
        correction: Correction,
        distance: tuple[float, float],
        frozen: Tensor,
    ) -> Tensor:
        """Return (K+1, 1, H, W), background first: where to believe the old masks, where the new.

        Without a fusion network objects are blended by distance alone.

        Parameters
        ----------
        image, query
            The frame.
        old, new
            What was believed, and what the correction's propagation has found.
        correction
            What the interaction has changed.
        distance
            Frames to the other user frame, and to the corrected one, as shares
            of the frames between the two.
        frozen
            All other objects, (F, 1, H, W).
        """
        if self.fusion is None:
            blended = torch.lerp(old, new, distance[0])
            background = 1 - blended.sum(dim=0, keepdim=True) - frozen.sum(dim=0, keepdim=True)
            return torch.cat([background.clamp(0, 1), blended])
        network = self.fusion

        def alone(some: slice) -> Tensor:
            n_objects = len(old[some])
            attention = attend_differences(
                correction.key[some].transpose(1, 2), query, correction.differences[some]
            )
            inputs = (
                image.expand(n_objects, -1, -1, -1),
                old[some],
                new[some],
                attention,
                image.new_tensor([distance]).expand(n_objects, -1),
            )
            logits: Tensor = network(*(x.to(self.dtype) for x in inputs))
            return logits

        return self._compete(alone, len(old), frozen)

    def _compete(self, alone: Callable[[slice], Tensor], n_objects: int, frozen: Tensor) -> Tensor:
        logits = torch.cat([alone(some).float() for some in self._batches(n_objects)])
        return aggregate(torch.cat([logits.sigmoid(), frozen]))[: n_objects + 1]

    def _batches(self, n_objects: int) -> Iterator[slice]:
        for first in range(0, n_objects, self.batch_size):
            yield slice(first, first + self.batch_size)

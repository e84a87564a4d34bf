"""The steps of MiVOS on tensors: remember, find, fuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from napari_vos.engines.mivos_bank import Memory
from napari_vos.engines.mivos_frozen import Frozen, compete
from napari_vos.engines.mivos_tiles import in_tiles
from napari_vos.networks.mivos import (
    FusionNetwork,
    PropagationNetwork,
    Query,
    attend_differences,
    read_memories,
    sum_of_others,
)
from napari_vos.networks.mivos.propagation import STRIDE

if TYPE_CHECKING:
    from torch import Tensor

    from napari_vos.engines.mivos_bank import SpaceTimeBank


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
    """The two networks, `batch_size` objects at a time, frames in tiles of `tile_side`.

    Images are (1, 3, H, W), masks and probabilities (K, 1, H, W) float32 in
    [0, 1], all on the networks' device. H and W are multiples of 16.
    """

    propagation: PropagationNetwork
    fusion: FusionNetwork | None
    dtype: torch.dtype
    top_k: int
    batch_size: int
    tile_side: int | None = None

    @torch.inference_mode()
    def encode(self, image: Tensor) -> Query:
        """Return what a frame is asked for."""
        return Query(*self._in_tiles(self.propagation.encode, image))

    @torch.inference_mode()
    def memorize(self, image: Tensor, masks: Tensor, frozen: Frozen) -> Memory:
        """Return what to remember of objects in a frame.

        Parameters
        ----------
        image
            The frame.
        masks
            Of the objects.
        frozen
            All other objects; they are seen and not remembered.
        """
        others = sum_of_others(masks) + frozen.total

        def remember(image: Tensor, mask: Tensor, others: Tensor) -> list[Tensor]:
            height, width = (side // STRIDE for side in image.shape[-2:])
            flat = self.propagation.memorize(image, mask, others)
            return [part.reshape(*part.shape[:2], height, width) for part in flat]

        parts = [
            self._in_tiles(remember, image, masks[some], others[some])
            for some in self._batches(len(masks))
        ]
        keys, values = (
            torch.cat(planes).flatten(2).transpose(1, 2) for planes in zip(*parts, strict=True)
        )
        return Memory(keys.contiguous(), values.contiguous())

    @torch.inference_mode()
    def find(self, query: Query, bank: SpaceTimeBank, frozen: Frozen) -> Tensor:
        """Return (K+1, 1, H, W), background first: objects competing with each other and `frozen`.

        Without frozen objects this sums to 1 at each pixel.
        """
        key = query.key.flatten(2)

        def decode(readout: Tensor, *query: Tensor) -> list[Tensor]:
            return [self.propagation.decode(Query(*query), readout)]

        def alone(some: slice) -> Tensor:
            keys, values = bank.keys(some), bank.values(some)
            n_objects = len(range(bank.n_objects)[some])
            read = read_memories(keys, values, key.expand(n_objects, -1, -1), top_k=self.top_k)
            readout = read.reshape(*read.shape[:2], *query.key.shape[-2:])
            return self._in_tiles(decode, readout, *query, stride=STRIDE)[0]

        return self._compete(alone, bank.n_objects, frozen)

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
        frozen: Frozen,
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
            All other objects.
        """
        if self.fusion is None:
            blended = torch.lerp(old, new, distance[0])
            background = 1 - blended.sum(dim=0, keepdim=True) - frozen.total
            return torch.cat([background.clamp(0, 1), blended])
        network = self.fusion

        def choose(image: Tensor, *masks: Tensor) -> list[Tensor]:
            n_objects = len(masks[0])
            distances = image.new_tensor([distance]).expand(n_objects, -1)
            return [network(image.expand(n_objects, -1, -1, -1), *masks, distances)]

        def alone(some: slice) -> Tensor:
            attention = attend_differences(
                correction.key[some].transpose(1, 2), query, correction.differences[some]
            )
            return self._in_tiles(choose, image, old[some], new[some], attention)[0]

        return self._compete(alone, len(old), frozen)

    def _in_tiles(
        self, function: Callable[..., Sequence[Tensor]], *planes: Tensor, stride: int = 1
    ) -> list[Tensor]:
        """Call a function of planes, the first of which has this stride, in the networks' dtype."""
        height, width = planes[0].shape[-2:]
        return in_tiles(
            function,
            [plane.to(self.dtype) for plane in planes],
            side=self.tile_side,
            size=(height * stride, width * stride),
        )

    def _compete(self, alone: Callable[[slice], Tensor], n_objects: int, frozen: Frozen) -> Tensor:
        logits = torch.cat([alone(some).float() for some in self._batches(n_objects)])
        return compete(logits.sigmoid(), frozen)

    def _batches(self, n_objects: int) -> Iterator[slice]:
        for first in range(0, n_objects, self.batch_size):
            yield slice(first, first + self.batch_size)

"""Fusing a propagated correction with what was believed before, in windows."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from napari_vos.engines.fusion import add_to, blend
from napari_vos.engines.places import Place, crop, paste, place_around, region_of
from napari_vos.engines.shares import Shares
from napari_vos.engines.tracks import outline_of
from napari_vos.engines.windows import SMALLEST_SIDE, WINDOW_SIZE, window_side
from napari_vos.networks.memory import attend_differences

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from napari_vos.engines.base import EvidenceReader, Span
    from napari_vos.engines.compact import CompactPropagator
    from napari_vos.store.evidence import ObjectEvidence

ROOM = 1.2
"""Side of a window relative to the box around both masks, at least."""


def trust_in(extent: float) -> float:
    """Return how far to believe the network about an object; the rest is blended by distance.

    Not at all in windows of the smallest side, fully in those that show each pixel
    of the frame at least as it is: of enlarged objects it has seen few, and draws
    worse borders than they had.

    Parameters
    ----------
    extent
        Longest side of the object's box, in data pixels.
    """
    side = float(window_side(torch.tensor(extent)))
    return min(1.0, (side - SMALLEST_SIDE) / (WINDOW_SIZE - SMALLEST_SIDE))


class FusionWindow(NamedTuple):
    """What the fusion network sees of one window.

    Attributes
    ----------
    image
        (4, S, S), standardised.
    old, new
        (1, S, S) in [0, 1]: the mask so far, and the propagated correction.
    attention
        (2, S, S) in [0, 1]: what the correction added and removed, as it shows here.
    distance
        (2,) in [0, 1]: how near the corrected user frame is, and the other one; see
        `Shares`.
    """

    image: Tensor
    old: Tensor
    new: Tensor
    attention: Tensor
    distance: Tensor


class _Change(NamedTuple):
    """Key (D, h, w) of a corrected frame's window; what was added and removed there (2, S, S)."""

    key: Tensor
    difference: Tensor


class WindowFusion:
    """Fuses the frames of a span that ends before another user frame.

    Parameters
    ----------
    engine, span, evidence
        The span in work, which has a frame to fuse with.
    images
        Returns the standardised images (4, S, S) at places of a frame.
    """

    def __init__(
        self,
        engine: CompactPropagator,
        span: Span,
        evidence: EvidenceReader,
        images: Callable[[int, Mapping[int, Place]], dict[int, Tensor]],
    ) -> None:
        self.engine = engine
        self.span = span
        self.images = images
        self.shape = engine.frames.shape
        self.evidence = evidence
        self.shares = Shares(span, evidence, self.shape)

    def fuse(
        self, t: int, new: Mapping[int, ObjectEvidence], old: Mapping[int, ObjectEvidence]
    ) -> list[ObjectEvidence]:
        """Return the fused evidence of the objects of `new`; those without an old mask stay."""
        windows = self.windows(t, new, old)
        answers = self.engine.fuse([window for _, window in windows.values()])
        fused = dict(new)
        for (i, (place, window)), probability in zip(windows.items(), answers, strict=True):
            pasted = paste(probability, place, self.shape)
            if pasted is not None:
                linear = blend(new[i], old[i], float(window.distance[0]))
                box, mask = pasted
                fused[i] = blend(
                    replace(linear, box=box, probability=mask),
                    linear,
                    trust_in(self._extent_of([new[i], old[i]])),
                )
        return list(fused.values())

    def windows(
        self, t: int, new: Mapping[int, ObjectEvidence], old: Mapping[int, ObjectEvidence]
    ) -> dict[int, tuple[Place, FusionWindow]]:
        """Return the places and windows of the objects that have both masks on frame `t`."""
        places = {}
        for object_id in new:
            if object_id in old and object_id in self.changed:
                place = self._place_of([new[object_id], old[object_id]])
                if place is not None:
                    places[object_id] = place
        if not places:
            return {}
        images = self.images(t, places)
        keys = self.engine.keys(list(images.values()))
        changed = [self.changed[object_id] for object_id in places]
        attention = attend_differences(
            torch.stack([change.key for change in changed]).flatten(2),
            torch.stack(keys),
            torch.stack([change.difference for change in changed]),
        )
        return {
            object_id: (
                place,
                FusionWindow(
                    images[object_id],
                    _mask(old[object_id], place, self.shape),
                    _mask(new[object_id], place, self.shape),
                    attended,
                    torch.tensor([share := self.shares.of(object_id, t), 1 - share]),
                ),
            )
            for (object_id, place), attended in zip(places.items(), attention, strict=True)
        }

    @cached_property
    def changed(self) -> dict[int, _Change]:
        """Return what the user has changed of each object on the corrected frame."""
        start = self.span.start
        before = self.evidence.uncorrected(start).objects
        after = self.evidence.read(start).objects
        places = {}
        for object_id in self.span.object_ids:
            known = [side[object_id] for side in (before, after) if object_id in side]
            place = self._place_of(known)
            if place is not None:
                places[object_id] = place
        if not places:
            return {}
        keys = self.engine.keys(list(self.images(start, places).values()))
        changes = {}
        for (object_id, place), key in zip(places.items(), keys, strict=True):
            difference = _mask(after.get(object_id), place, self.shape) - _mask(
                before.get(object_id), place, self.shape
            )
            changes[object_id] = _Change(
                key, torch.cat([difference.clamp(0, 1), (-difference).clamp(0, 1)])
            )
        return changes

    def _extent_of(self, masks: Sequence[ObjectEvidence]) -> float:
        """Return the longest side of the larger mask's box; 0 if there is nothing."""
        outlines = [outline_of(mask, self.shape) for mask in masks]
        return max((outline.extent for outline in outlines if outline is not None), default=0.0)

    def _place_of(self, masks: Sequence[ObjectEvidence]) -> Place | None:
        """Return a window that shows all of the masks; None if there is nothing."""
        outlines = [outline_of(mask, self.shape) for mask in masks]
        known = [outline for outline in outlines if outline is not None]
        if not known:
            return None
        place = place_around(known[0], max(outline.extent for outline in known))
        centers = np.array([outline.center for outline in known])
        middle = (centers.min(axis=0) + centers.max(axis=0)) / 2
        reach = max(
            float(np.abs(outline.center - middle).max()) + outline.extent / 2 for outline in known
        )
        return Place(float(middle[0]), float(middle[1]), max(place.side, 2 * ROOM * reach))


def _mask(item: ObjectEvidence | None, place: Place, shape: tuple[int, int]) -> Tensor:
    """Return an object's probability (1, S, S) in a window; 0 where there is none."""
    region = region_of(place, shape)
    plane = np.zeros(region.shape, np.float32)
    if item is not None:
        add_to(plane, region, item)
    return crop(plane[None], region, place, outside="zeros")

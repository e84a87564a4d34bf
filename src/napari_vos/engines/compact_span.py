"""One span of the compact engine in work: frame by frame, object by object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_vos.engines.aggregation import aggregate
from napari_vos.engines.bank import MemoryBank
from napari_vos.engines.compact_fusion import WindowFusion
from napari_vos.engines.fusion import add_to
from napari_vos.engines.places import (
    Found,
    Place,
    View,
    crop,
    look_at,
    paste,
    place_around,
    recenter,
    region_of,
    visible_part,
)
from napari_vos.engines.tracks import Outline, Track, outline_of, pack, unpack
from napari_vos.engines.windows import mark_border
from napari_vos.store.evidence import (
    EndReason,
    FrameEvidence,
    ObjectEnd,
    ObjectEvidence,
    Source,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from napari_vos.engines.base import EvidenceReader, Span
    from napari_vos.engines.compact import CompactPropagator

FEWEST_PIXELS = 3
"""A mask of fewer pixels has vanished, unless it was that small before."""

SHRUNK = 0.75
"""Ratio of the areas of two frames below which a compact cell may be about to divide."""

CONDENSED = 0.6
"""Ratio below which it is: on the next frame its daughters are there."""


class SpanRun:
    """Follows the objects of a span from its start, or from where it was left."""

    def __init__(self, engine: CompactPropagator, span: Span, evidence: EvidenceReader) -> None:
        self.engine = engine
        self.span = span
        self.evidence = evidence
        self.shape = engine.frames.shape
        self.bank = MemoryBank(engine.config.memory_frames)
        self.last = span.start if span.done_until is None else span.done_until
        kept: list[int] = []
        self.tracks: dict[int, Track] = {}
        self.batch_size = min(engine.config.batch_size, len(span.object_ids))
        if span.done_until is not None:
            self.tracks, kept, self.batch_size = unpack(evidence.state(span.done_until, span))
            self.tracks = {i: track for i, track in self.tracks.items() if i in span.object_ids}
        else:
            for object_id, outline in self._outlines(span.start, span.object_ids).items():
                self.tracks[object_id] = Track.start(outline)
        for t in span.references:
            self._memorize(t, certain=True)
        self.fusion = (
            None if span.fuse_with is None else WindowFusion(engine, span, evidence, self._images)
        )
        self.kept: list[int] = []
        for t in kept:
            self._memorize(t, certain=False)

    def step(self, t: int) -> FrameEvidence:
        """Predict frame `t`, the one after the last."""
        previous = self.evidence.read(self.last)
        outlines = self._outlines(self.last, self.tracks)
        lost = {
            i: EndReason.VANISHED
            for i in self.tracks
            if i not in outlines or self.bank.size(i) == 0
        }
        divided = {i: EndReason.DIVIDED for i in outlines if self._has_divided(i, outlines[i])}
        ends = [ObjectEnd(object_id, t, reason) for object_id, reason in (lost | divided).items()]
        for end in ends:
            self._forget(end.object_id)
        places = {i: place_around(outlines[i], track.extent) for i, track in self.tracks.items()}
        before = self._views(self.last, places, previous)
        found = self._look(t, self._expected(places), before)
        judged = self._judge(t, found, outlines)
        ends += judged.ends
        frozen = [
            item
            for i, item in self.evidence.read(t).objects.items()
            if i not in self.span.object_ids
        ]
        fused = self.fuse(t, judged.objects)
        objects = {item.object_id: item for item in aggregate(fused, frozen, self.shape)}
        for object_id, item in objects.items():
            now = outline_of(item, self.shape)
            if now is not None:
                self.tracks[object_id].follow(outlines[object_id], now)
        self._keep_if_due(previous.t)
        self.last = t
        return FrameEvidence(t, objects, tuple(ends), pack(self.tracks, self.kept, self.batch_size))

    def _expected(self, places: Mapping[int, Place]) -> dict[int, Place]:
        height, width = self.shape
        expected = {}
        for object_id, place in places.items():
            velocity = self.tracks[object_id].velocity
            y = float(np.clip(place.y + velocity[0], 0, height - 1))
            x = float(np.clip(place.x + velocity[1], 0, width - 1))
            expected[object_id] = Place(y, x, place.side)
        return expected

    def _look(
        self, t: int, places: Mapping[int, Place], before: Mapping[int, View]
    ) -> dict[int, tuple[Place, Found]]:
        """Find the objects; look again, recentred, at those at the rim of their window."""
        found = self._find(t, places, before)
        again = {}
        for object_id, (place, item) in found.items():
            moved = recenter(place, item.probability)
            if moved is not None:
                again[object_id] = moved
        return found | self._find(t, again, before) if again else found

    def _find(
        self, t: int, places: Mapping[int, Place], before: Mapping[int, View]
    ) -> dict[int, tuple[Place, Found]]:
        images = self._images(t, places)
        result: dict[int, tuple[Place, Found]] = {}
        by_size: dict[int, list[int]] = {}
        for object_id in places:
            by_size.setdefault(self.bank.size(object_id), []).append(object_id)
        for object_ids in by_size.values():
            answers = self.engine.find(
                [images[i] for i in object_ids],
                [before[i] for i in object_ids],
                [self.bank.read(i) for i in object_ids],
            )
            result |= {
                i: (places[i], answer) for i, answer in zip(object_ids, answers, strict=True)
            }
        return result

    def _judge(
        self, t: int, found: Mapping[int, tuple[Place, Found]], outlines: Mapping[int, Outline]
    ) -> FrameEvidence:
        """Turn findings into evidence; what isn't there any more ends."""
        objects, ends = {}, []
        for object_id, (place, item) in found.items():
            pasted = paste(item.probability, place, self.shape)
            before = outlines[object_id]
            area = 0 if pasted is None else int((pasted[1] > 0.5).sum())
            config = self.engine.config
            doubted = self._is_doubted(object_id, area, before)
            if (
                pasted is None
                or item.presence < (config.division if doubted else config.presence)
                or item.quality < config.quality
                or area < min(FEWEST_PIXELS, before.area)
            ):
                ends.append(ObjectEnd(object_id, t, _reason(before, doubted=doubted)))
                self._forget(object_id)
            else:
                objects[object_id] = ObjectEvidence(
                    object_id, *pasted, item.quality, Source.PROPAGATED
                )
        return FrameEvidence(t, objects, tuple(ends))

    def _has_divided(self, object_id: int, before: Outline) -> bool:
        """Tell whether a compact object has shrunk so much that it has divided by now."""
        forward = self.span.direction > 0
        return forward and before.is_compact and self.tracks[object_id].growth < CONDENSED

    def _is_doubted(self, object_id: int, area: int, before: Outline) -> bool:
        """Tell whether a compact object has shrunk lately, or any has lost two fifths at once.

        Cells condense before they divide. What leaves the frame shrinks little by
        little, and spread cells come and go with their protrusions.
        """
        shrunk = area / before.area if area else 1.0
        lately = min(self.tracks[object_id].growth, shrunk)
        return shrunk < CONDENSED or (before.is_compact and lately < SHRUNK)

    def fuse(self, t: int, new: Mapping[int, ObjectEvidence]) -> list[ObjectEvidence]:
        """Fuse what was found on frame `t` with what was believed before."""
        form = self.engine.config.fusion
        if self.fusion is None or form == "none":
            return list(new.values())
        old = self.evidence.before(t).objects
        if form == "learned":
            return self.fusion.fuse(t, new, old)
        return list(self.fusion.shares.blend(t, new, old).values())

    def _keep_if_due(self, t: int) -> None:
        """Keep the last finished frame as a memory every so often; the store has it by now."""
        due = (
            t != self.span.start and abs(t - self.span.start) % self.engine.config.memory_every == 0
        )
        if due and self.engine.config.memory_frames:
            self._memorize(t, certain=False)

    def _memorize(self, t: int, *, certain: bool) -> None:
        outlines = self._outlines(t, self.tracks)
        places = {i: place_around(outline, outline.extent) for i, outline in outlines.items()}
        views = self._views(t, places, self.evidence.read(t))
        add = self.bank.add_certain if certain else self.bank.keep
        for object_id, memory in zip(
            views,
            self.engine.memorize(list(views.values()), batch_size=self.batch_size),
            strict=True,
        ):
            add(object_id, memory)
        if not certain:
            self.kept = [*self.kept, t][-self.engine.config.memory_frames :]

    def _forget(self, object_id: int) -> None:
        del self.tracks[object_id]
        self.bank.forget(object_id)

    def _outlines(
        self, t: int, object_ids: Sequence[int] | Mapping[int, Track]
    ) -> dict[int, Outline]:
        objects = self.evidence.read(t).objects
        outlines = {i: outline_of(objects[i], self.shape) for i in object_ids if i in objects}
        return {i: outline for i, outline in outlines.items() if outline is not None}

    def _images(self, t: int, places: Mapping[int, Place]) -> dict[int, Tensor]:
        planes = self.engine.frames.normalized(t)
        return {object_id: look_at(planes, place) for object_id, place in places.items()}

    def _views(
        self, t: int, places: Mapping[int, Place], evidence: FrameEvidence
    ) -> dict[int, View]:
        """Return what the network sees of objects on a finished frame."""
        known = np.zeros(self.shape, np.float32)
        for item in evidence.objects.values():
            known[item.box.slices] += item.probability
        images = self._images(t, places)
        views = {}
        for object_id, place in places.items():
            item = evidence.objects[object_id]
            region = region_of(place, self.shape)
            own = np.zeros(region.shape, np.float32)
            add_to(own, region, item)
            others = np.clip(known[region.slices] - own, 0, 1)
            mask, around = crop(np.stack([own, others]), region, place, outside="zeros").chunk(2)
            image, around = mark_border(images[object_id], around, visible_part(place, self.shape))
            views[object_id] = View(image, mask, around)
        return views


def _reason(before: Outline, *, doubted: bool) -> EndReason:
    if before.contact:
        return EndReason.LEFT
    return EndReason.DIVIDED if doubted else EndReason.VANISHED

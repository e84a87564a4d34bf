"""The compact engine: each object is followed in its own window."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from napari_vos import checkpoints
from napari_vos.configs import CompactConfig
from napari_vos.device import choose_device, choose_precision
from napari_vos.engines.aggregation import aggregate
from napari_vos.engines.bank import Memory, MemoryBank
from napari_vos.engines.base import Estimate, EvidenceReader, Span
from napari_vos.engines.tracks import Outline, Track, outline_of, pack, unpack
from napari_vos.engines.windows import (
    WINDOW_SIZE,
    crop_windows,
    paste_windows,
    standardize,
    window_side,
)
from napari_vos.errors import WeightsError
from napari_vos.networks.compact import IMAGE_CHANNELS, STRIDE, CompactNetwork
from napari_vos.store.evidence import (
    Box,
    EndReason,
    FrameEvidence,
    ObjectEnd,
    ObjectEvidence,
    Source,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_vos.frames import FrameStack

FAINTEST = 0.02
"""Probabilities below this aren't stored."""

FEWEST_PIXELS = 3
"""A mask of fewer pixels has vanished, unless it was that small before."""

WINDOW_BYTES = 14 << 20
"""Memory one window takes while the network runs on it."""


class Place(NamedTuple):
    """A square window on the frame: centre (y, x) and side, in data pixels."""

    y: float
    x: float
    side: float


class View(NamedTuple):
    """What the network sees of one window: image (3, S, S), mask and others (1, S, S)."""

    image: Tensor
    mask: Tensor
    others: Tensor


class Found(NamedTuple):
    """What the network found in one window: probability (1, S, S), and two scores in [0, 1]."""

    probability: Tensor
    presence: float
    quality: float


@dataclass(frozen=True)
class CompactPropagator:
    """Propagates masks object by object, in windows, batched over objects.

    Make one with `CompactPropagator.create`.
    """

    frames: FrameStack
    config: CompactConfig
    network: CompactNetwork
    device: torch.device
    dtype: torch.dtype
    plan: Mapping[str, object]

    @classmethod
    def create(
        cls,
        frames: FrameStack,
        *,
        config: CompactConfig | None = None,
        weights: str | Path | None = None,
        device: str = "auto",
        precision: str = "auto",
        plan: Mapping[str, Any] | None = None,
    ) -> CompactPropagator:
        """Load the network and settle the plan.

        Raises
        ------
        NapariVosError
            If the weights, the device or the precision can't be used, or
            `plan` was made with other weights.
        """
        if plan is not None:
            config = CompactConfig(**plan["config"])
            device, precision = str(plan["device"]), str(plan["precision"])
        config = config or CompactConfig()
        chosen = choose_device(device)
        dtype = choose_precision(precision, chosen)
        path = checkpoints.resolve(weights, "compact")
        sha256 = checkpoints.sha256_of(path)
        if plan is not None and plan["weights_sha256"] != sha256:
            raise WeightsError(
                f"This run was made with the compact weights {str(plan['weights_sha256'])[:12]}…, "
                f"but {path} has {sha256[:12]}…. Name the weights file it was made with."
            )
        network = cast("CompactNetwork", checkpoints.load_network("compact", path))
        network = network.to(chosen, dtype=dtype)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        settled: dict[str, object] = {
            "engine": "compact",
            "weights": path.name,
            "weights_sha256": sha256,
            "config": asdict(config),
            "device": chosen.type,
            "precision": str(dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        return cls(frames, config, network, chosen, dtype, settled)

    def estimate(self, spans: Sequence[Span]) -> Estimate:
        """Return what propagating `spans` will take, from one timed batch."""
        object_frames = sum(len(span.frames) * len(span.object_ids) for span in spans)
        n_objects = max((len(span.object_ids) for span in spans), default=0)
        n_memories = (
            max((len(span.references) for span in spans), default=0) + self.config.memory_frames
        )
        keys = self.network.key.out_channels + self.network.value.out_channels
        bank = n_objects * n_memories * keys * (WINDOW_SIZE // STRIDE) ** 2 * self.dtype.itemsize
        frame = 4 * 4 * self.frames.shape[0] * self.frames.shape[1] * self.frames.n_channels
        memory = bank + frame + min(n_objects, self.config.batch_size) * WINDOW_BYTES
        seconds = self._seconds_per_object() * object_frames if object_frames else 0.0
        return Estimate(memory, seconds, object_frames)

    def propagate(self, span: Span, evidence: EvidenceReader) -> Iterator[FrameEvidence]:
        """Predict the frames of `span` in order; see `Propagator.propagate`."""
        run = _Run(self, span, evidence)
        for t in self.frames.read_ahead(span.frames):
            if not run.tracks:
                return
            yield run.step(t)

    @torch.inference_mode()
    def memorize(self, views: Sequence[View], *, batch_size: int) -> list[Memory]:
        """Return what to remember of each view."""
        memories = []
        for batch in _batches(views, batch_size):
            keys, values = self.network.memorize(
                *(self._stack(part) for part in zip(*batch, strict=True))
            )
            memories += [Memory(key, value) for key, value in zip(keys, values, strict=True)]
        return memories[: len(views)]

    @torch.inference_mode()
    def find(
        self,
        images: Sequence[Tensor],
        before: Sequence[View],
        memories: Sequence[Memory],
        *,
        batch_size: int,
    ) -> list[Found]:
        """Find each object in its window; `memories` all have the same length."""
        found = []
        for batch in _batches(list(zip(images, before, memories, strict=True)), batch_size):
            views = [view for _, view, _ in batch]
            prediction = self.network(
                self._stack([image for image, _, _ in batch]),
                *(self._stack(part) for part in zip(*views, strict=True)),
                torch.stack([memory.key for _, _, memory in batch]),
                torch.stack([memory.value for _, _, memory in batch]),
            )
            found += [
                Found(mask, float(presence), float(quality))
                for mask, presence, quality in zip(
                    prediction.mask_logits.float().sigmoid().cpu(),
                    prediction.presence_logits.float().sigmoid().cpu(),
                    prediction.quality_logits.float().sigmoid().cpu(),
                    strict=True,
                )
            ]
        return found[: len(images)]

    def _stack(self, tensors: Sequence[Tensor]) -> Tensor:
        stacked = torch.stack(list(tensors))
        return stacked.to(
            self.device, self.dtype, memory_format=torch.channels_last, non_blocking=True
        )

    def _seconds_per_object(self) -> float:
        plane = torch.zeros(1, WINDOW_SIZE, WINDOW_SIZE)
        view = View(plane.expand(IMAGE_CHANNELS, -1, -1), plane, plane)
        views = [view] * self.config.batch_size
        memories = self.memorize(views, batch_size=len(views))
        started = time.perf_counter()
        self.find([view.image] * len(views), views, memories, batch_size=len(views))
        return (time.perf_counter() - started) / len(views)


class _Run:
    """One span in work."""

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
        self.kept: list[int] = []
        for t in kept:
            self._memorize(t, certain=False)

    def step(self, t: int) -> FrameEvidence:
        """Predict frame `t`, the one after the last."""
        previous = self.evidence.read(self.last)
        outlines = self._outlines(self.last, self.tracks)
        lost = [i for i in self.tracks if i not in outlines or self.bank.size(i) == 0]
        ends = [ObjectEnd(object_id, t, EndReason.VANISHED) for object_id in lost]
        for object_id in lost:
            self._forget(object_id)
        places = {
            i: Place(*outlines[i].center, float(window_side(torch.tensor(track.extent))))
            for i, track in self.tracks.items()
        }
        before = self._views(self.last, places, previous)
        found = self._look(t, self._expected(places), before)
        judged = self._judge(t, found, outlines)
        ends += judged.ends
        frozen = [
            item
            for i, item in self.evidence.read(t).objects.items()
            if i not in self.span.object_ids
        ]
        fused = self._fuse(t, judged.objects)
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
        """Find the objects; look again, recentred, at those found near the rim of their window."""
        found = self._find(t, places, before)
        again = {}
        for object_id, (place, item) in found.items():
            moved = _centered_on(place, item)
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
                batch_size=self.batch_size,
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
            evidence = self._on_frame(object_id, place, item)
            before = outlines[object_id]
            area = 0 if evidence is None else int((evidence.probability > 0.5).sum())
            if (
                evidence is None
                or item.presence < self.engine.config.presence
                or item.quality < self.engine.config.quality
                or area < min(FEWEST_PIXELS, before.area)
            ):
                reason = EndReason.LEFT if before.touches_border else EndReason.VANISHED
                ends.append(ObjectEnd(object_id, t, reason))
                self._forget(object_id)
            else:
                objects[object_id] = evidence
        return FrameEvidence(t, objects, tuple(ends))

    def _fuse(self, t: int, objects: Mapping[int, ObjectEvidence]) -> list[ObjectEvidence]:
        """Blend with what was believed before, by the distance to the two user frames."""
        other_end = self.span.fuse_with
        if other_end is None:
            return list(objects.values())
        share = abs(other_end - t) / abs(other_end - self.span.start)
        old = self.evidence.before(t).objects
        return [_blend(item, old[i], share) if i in old else item for i, item in objects.items()]

    def _keep_if_due(self, t: int) -> None:
        """Keep the last finished frame as a memory every so often; the store has it by now."""
        due = (
            t != self.span.start and abs(t - self.span.start) % self.engine.config.memory_every == 0
        )
        if due and self.engine.config.memory_frames:
            self._memorize(t, certain=False)

    def _memorize(self, t: int, *, certain: bool) -> None:
        outlines = self._outlines(t, self.tracks)
        places = {
            i: Place(*outline.center, float(window_side(torch.tensor(outline.extent))))
            for i, outline in outlines.items()
        }
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
        images = {}
        for object_id, place in places.items():
            image = standardize(_crop(planes, place, outside="border")[None])[0]
            images[object_id] = image[_three_channels(len(planes))]
        return images

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
            region = _region(place, self.shape)
            own = np.zeros(region.shape, np.float32)
            _add(own, region, item)
            others = np.clip(known[region.slices] - own, 0, 1)
            planes = _crop_region(np.stack([own, others]), region, place, outside="zeros")
            views[object_id] = View(images[object_id], planes[:1], planes[1:])
        return views

    def _on_frame(self, object_id: int, place: Place, found: Found) -> ObjectEvidence | None:
        """Resample a window's probability to data pixels; None if nothing of it is on the frame."""
        region = _region(place, self.shape)
        center = torch.tensor([[place.y - region.top, place.x - region.left]])
        side = torch.tensor([place.side])
        pasted = paste_windows(found.probability[None], center, side, region.shape)[0, 0].numpy()
        box = _tight(pasted > FAINTEST, region)
        if box is None:
            return None
        inside = pasted[
            box.top - region.top : box.bottom - region.top,
            box.left - region.left : box.right - region.left,
        ]
        return ObjectEvidence(
            object_id, box, inside.astype(np.float16), found.quality, Source.PROPAGATED
        )


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield batches of one and the same size.

    The last one is filled up: arithmetic may differ in the last bit between
    batch sizes, and a resumed run must agree with an uninterrupted one.
    """
    for start in range(0, len(items), size):
        batch = list(items[start : start + size])
        yield batch + [batch[-1]] * (size - len(batch))


def _centered_on(place: Place, found: Found) -> Place | None:
    """Return a better place for a window whose object lies off its middle; None if it is good."""
    rows, columns = torch.nonzero(found.probability[0] > 0.5, as_tuple=True)
    if rows.numel() == 0:
        return None
    middle = (WINDOW_SIZE - 1) / 2
    y, x = float(rows.float().mean()) - middle, float(columns.float().mean()) - middle
    at_rim = (
        min(int(rows.min()), int(columns.min())) < 2
        or max(int(rows.max()), int(columns.max())) > WINDOW_SIZE - 3
    )
    if max(abs(y), abs(x)) < 0.12 * WINDOW_SIZE and not at_rim:
        return None
    unit = place.side / WINDOW_SIZE
    return Place(place.y + y * unit, place.x + x * unit, place.side * (1.25 if at_rim else 1.0))


def _blend(new: ObjectEvidence, old: ObjectEvidence, share: float) -> ObjectEvidence:
    box = Box(
        min(new.box.top, old.box.top),
        min(new.box.left, old.box.left),
        max(new.box.bottom, old.box.bottom),
        max(new.box.right, old.box.right),
    )
    blended = np.zeros(box.shape, np.float32)
    _add(blended, box, new, share)
    _add(blended, box, old, 1 - share)
    confidence = share * new.confidence + (1 - share) * old.confidence
    return replace(new, box=box, probability=blended.astype(np.float16), confidence=confidence)


def _add(
    target: NDArray[np.float32], region: Box, item: ObjectEvidence, share: float = 1.0
) -> None:
    """Add the part of an object's probability that lies in `region` to `target`."""
    top, left = max(region.top, item.box.top), max(region.left, item.box.left)
    bottom, right = min(region.bottom, item.box.bottom), min(region.right, item.box.right)
    if top >= bottom or left >= right:
        return
    source = item.probability[
        top - item.box.top : bottom - item.box.top, left - item.box.left : right - item.box.left
    ]
    target[top - region.top : bottom - region.top, left - region.left : right - region.left] += (
        share * source.astype(np.float32)
    )


def _region(place: Place, shape: tuple[int, int]) -> Box:
    """Return the pixels a window needs, with a margin for interpolation, inside the frame."""
    half = place.side / 2 + 2
    return Box(
        int(np.clip(np.floor(place.y - half), 0, shape[0] - 1)),
        int(np.clip(np.floor(place.x - half), 0, shape[1] - 1)),
        int(np.clip(np.ceil(place.y + half) + 1, 1, shape[0])),
        int(np.clip(np.ceil(place.x + half) + 1, 1, shape[1])),
    )


def _crop(planes: NDArray[np.float32], place: Place, *, outside: str) -> Tensor:
    region = _region(place, (planes.shape[1], planes.shape[2]))
    return _crop_region(planes[:, *region.slices].copy(), region, place, outside=outside)


def _crop_region(planes: NDArray[np.float32], region: Box, place: Place, *, outside: str) -> Tensor:
    center = torch.tensor([[place.y - region.top, place.x - region.left]], dtype=torch.float32)
    side = torch.tensor([place.side], dtype=torch.float32)
    return crop_windows(torch.from_numpy(planes)[None], center, side, outside=outside)[0]


def _three_channels(n_channels: int) -> list[int]:
    return [min(index, n_channels - 1) for index in range(IMAGE_CHANNELS)]


def _tight(mask: NDArray[np.bool_], region: Box) -> Box | None:
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    if rows.size == 0:
        return None
    return Box(
        region.top + int(rows[0]),
        region.left + int(columns[0]),
        region.top + int(rows[-1]) + 1,
        region.left + int(columns[-1]) + 1,
    )

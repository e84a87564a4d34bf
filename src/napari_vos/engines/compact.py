"""The compact engine: each object is followed in its own window."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from napari_vos import checkpoints
from napari_vos.configs import CompactConfig
from napari_vos.device import choose_device, choose_precision
from napari_vos.engines.bank import Memory
from napari_vos.engines.base import Estimate, EvidenceReader, Span
from napari_vos.engines.compact_span import SpanRun
from napari_vos.engines.places import Found, View
from napari_vos.engines.plans import check_weights, machine
from napari_vos.engines.windows import WINDOW_SIZE
from napari_vos.networks.compact import IMAGE_CHANNELS, MEMORY_STRIDE, PLACE_DEPTH, CompactNetwork
from napari_vos.networks.folding import fold_batch_norms

if TYPE_CHECKING:
    from pathlib import Path

    from napari_vos.engines.compact_fusion import FusionWindow
    from napari_vos.frames import FrameStack
    from napari_vos.networks.compact_fusion import CompactFusionNetwork
    from napari_vos.store.evidence import FrameEvidence

WINDOW_BYTES = 14 << 20
"""Memory one window takes while the network runs on it."""


@dataclass(frozen=True)
class CompactPropagator:
    """Propagates masks object by object, in windows, batched over objects.

    Make one with `CompactPropagator.create`.
    """

    frames: FrameStack
    config: CompactConfig
    network: CompactNetwork
    fusion_network: CompactFusionNetwork | None
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
        path, sha256 = _find_weights("compact", weights, plan, "weights_sha256")
        network = cast("CompactNetwork", checkpoints.load_network("compact", path))
        fold_batch_norms(network)
        network = network.to(chosen, dtype=dtype)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        fusion_network, fusion_sha256 = None, None
        if config.fusion == "learned":
            fusion_path, fusion_sha256 = _find_weights(
                "compact_fusion", None, plan, "fusion_weights_sha256"
            )
            fusion_network = cast(
                "CompactFusionNetwork", checkpoints.load_network("compact_fusion", fusion_path)
            ).to(chosen, dtype=dtype)
        settled: dict[str, object] = {
            "engine": "compact",
            "weights": path.name,
            "weights_sha256": sha256,
            "fusion_weights_sha256": fusion_sha256,
            "config": asdict(config),
            **machine(chosen, dtype),
        }
        return cls(frames, config, network, fusion_network, chosen, dtype, settled)

    def estimate(self, spans: Sequence[Span]) -> Estimate:
        """Return what propagating `spans` will take, from one small timed batch."""
        object_frames = sum(len(span.frames) * len(span.object_ids) for span in spans)
        n_objects = max((len(span.object_ids) for span in spans), default=0)
        n_memories = (
            max((len(span.references) for span in spans), default=0) + self.config.memory_frames
        )
        depth = self.network.key.out_channels + PLACE_DEPTH + self.network.value.out_channels
        positions = n_memories * (WINDOW_SIZE // MEMORY_STRIDE) ** 2
        # As it is kept, and once more joined to be read.
        bank = 2 * n_objects * depth * positions * self.dtype.itemsize
        frame = 4 * 4 * self.frames.shape[0] * self.frames.shape[1] * self.frames.n_channels
        memory = bank + frame + min(n_objects, self.config.batch_size) * WINDOW_BYTES
        seconds = self._seconds_per_object(n_memories) * object_frames if object_frames else 0.0
        return Estimate(memory, seconds, object_frames)

    def propagate(self, span: Span, evidence: EvidenceReader) -> Iterator[FrameEvidence]:
        """Predict the frames of `span` in order; see `Propagator.propagate`."""
        run = SpanRun(self, span, evidence)
        for t in self.frames.read_ahead(span.frames):
            if not run.tracks:
                return
            yield run.step(t)

    @torch.inference_mode()
    def memorize(self, views: Sequence[View], *, batch_size: int) -> list[Memory]:
        """Return what to remember of each view.

        Arithmetic may differ in the last bit between batch sizes, and a
        resumed run, which remembers old frames again without the objects that
        have ended since, must agree with an uninterrupted one: `batch_size` is
        one number per span.
        """
        memories = []
        for batch in _full_batches(views, batch_size):
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
    ) -> list[Found]:
        """Find each object in its window; `memories` all have the same length."""
        found = []
        windows = list(zip(images, before, memories, strict=True))
        for batch in _even_batches(windows, self.config.batch_size):
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
                    prediction.mask.cpu(),
                    prediction.presence_logits.float().sigmoid().cpu(),
                    prediction.quality_logits.float().sigmoid().cpu(),
                    strict=True,
                )
            ]
        return found

    @torch.inference_mode()
    def keys(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Return the memory key (D, S/4, S/4), without the place, of each image (4, S, S)."""
        keys: list[Tensor] = []
        for batch in _even_batches(images, self.config.batch_size):
            keys += list(self.network.look(self._stack(batch)).key.float().cpu())
        return keys

    @torch.inference_mode()
    def fuse(self, windows: Sequence[FusionWindow]) -> list[Tensor]:
        """Return the fused probability (1, S, S) of each window."""
        fused: list[Tensor] = []
        if self.fusion_network is None:
            raise ValueError("This engine was made without a fusion network.")
        for batch in _even_batches(windows, self.config.batch_size):
            logits = self.fusion_network(*(self._stack(part) for part in zip(*batch, strict=True)))
            fused += list(logits.float().sigmoid().cpu())
        return fused

    def _stack(self, tensors: Sequence[Tensor]) -> Tensor:
        stacked = torch.stack(list(tensors))
        layout = torch.channels_last if stacked.dim() == 4 else torch.preserve_format
        return stacked.to(self.device, self.dtype, memory_format=layout, non_blocking=True)

    def _seconds_per_object(self, n_memories: int) -> float:
        plane = torch.zeros(1, WINDOW_SIZE, WINDOW_SIZE)
        view = View(plane.expand(IMAGE_CHANNELS, -1, -1), plane, plane)
        # Few enough to fit where the batches of the run may not.
        views = [view] * min(self.config.batch_size, 4)
        memories = [
            Memory(memory.key.repeat(1, n_memories), memory.value.repeat(1, n_memories))
            for memory in self.memorize(views, batch_size=len(views))
        ]
        started = time.perf_counter()
        self.find([view.image] * len(views), views, memories)
        return (time.perf_counter() - started) / len(views)


def _find_weights(
    network: str, weights: str | Path | None, plan: Mapping[str, Any] | None, key: str
) -> tuple[Path, str]:
    """Return the weights file and its hash, which must be the one under `key` of a given plan."""
    path = checkpoints.resolve(weights, network)
    return path, check_weights(network, path, plan, key)


def _full_batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield batches of one and the same size, the last one filled up."""
    for start in range(0, len(items), size):
        batch = list(items[start : start + size])
        yield batch + [batch[-1]] * (size - len(batch))


def _even_batches(items: Sequence[Any], largest: int) -> Iterator[Sequence[Any]]:
    """Yield as few batches as can be, about equally large."""
    count = math.ceil(len(items) / largest)
    for index in range(count):
        yield items[index * len(items) // count : (index + 1) * len(items) // count]

"""MiVOS: whole frames, a space-time memory, and fusion that knows what a correction changed.

Cheng, Tai, Tang, "Modular Interactive Video Object Segmentation: Interaction-to-Mask,
Propagation and Difference-Aware Fusion", CVPR 2021.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import torch

from napari_vos import checkpoints
from napari_vos.configs import MivosConfig
from napari_vos.device import choose_device, choose_precision, free_memory
from napari_vos.engines import PUBLISHED
from napari_vos.engines.base import Estimate, EvidenceReader, Span
from napari_vos.engines.mivos_bank import SpaceTimeBank
from napari_vos.engines.mivos_frames import QUERY_BYTES, MivosFrames, cache_budgets
from napari_vos.engines.mivos_frozen import Frozen
from napari_vos.engines.mivos_model import MivosModel
from napari_vos.engines.mivos_scale import WorkingFrame, scale_for
from napari_vos.engines.mivos_span import MivosSpan
from napari_vos.engines.mivos_tiles import computed_share, largest_part
from napari_vos.engines.plans import check_weights, machine
from napari_vos.errors import WeightsError
from napari_vos.networks.memory import CHUNK_ENTRIES
from napari_vos.networks.mivos.propagation import KEY_DEPTH, STRIDE, VALUE_DEPTH

if TYPE_CHECKING:
    from torch import nn

    from napari_vos.frames import FrameStack
    from napari_vos.networks.mivos import FusionNetwork, PropagationNetwork
    from napari_vos.store.evidence import FrameEvidence

FRAME_BYTES = 600
OBJECT_BYTES = 600
PLANE_BYTES = 40
"""Memory per pixel, in float32: of encoding a frame, of finding and fusing each object of a
batch, and of the masks of each object. `python benchmarks/mivos_steps.py` measures them."""

FROZEN_BYTES = 24
"""Memory per pixel of all objects that a round doesn't move: they become three planes, one by
one."""

TIMED_SIDE = 128
"""Frames are timed on a part of this size; the time grows with the area."""


@dataclass(frozen=True)
class MivosPropagator:
    """Propagates masks of whole frames, all objects of a span at once.

    An object is never given up: what is hidden for some frames may come back.

    Make one with `MivosPropagator.create`.
    """

    frames: FrameStack
    config: MivosConfig
    model: MivosModel
    images: MivosFrames
    device: torch.device
    plan: Mapping[str, object]

    @classmethod
    def create(
        cls,
        frames: FrameStack,
        *,
        config: MivosConfig | None = None,
        weights: str | Path | None = None,
        device: str = "auto",
        precision: str = "auto",
        plan: Mapping[str, Any] | None = None,
    ) -> MivosPropagator:
        """Load the networks and settle the plan.

        Raises
        ------
        NapariVosError
            If no weights are named, the weights, the device or the precision
            can't be used, or `plan` was made with other weights.
        """
        if plan is not None:
            config = MivosConfig(**plan["config"])
            device, precision = str(plan["device"]), str(plan["precision"])
        config = config or MivosConfig()
        if weights is None:
            raise WeightsError(
                "The engine 'mivos' comes without weights: name the file of its propagation "
                f"network, which the authors publish at {PUBLISHED['mivos']}. The engine 'compact' "
                "needs none."
            )
        chosen = choose_device(device)
        dtype = choose_precision(precision, chosen)
        files = {"weights": checkpoints.resolve(weights, "mivos_propagation")}
        networks = {"weights": "mivos_propagation"}
        if config.fusion_weights:
            files["fusion_weights"] = checkpoints.resolve(config.fusion_weights, "mivos_fusion")
            networks["fusion_weights"] = "mivos_fusion"
        hashes = {
            f"{name}_sha256": check_weights("MiVOS", path, plan, f"{name}_sha256")
            for name, path in files.items()
        }
        loaded: dict[str, nn.Module] = {
            name: checkpoints.load_network(networks[name], path).to(chosen, dtype)
            for name, path in files.items()
        }
        if chosen.type == "cuda" and dtype != torch.float32:
            for network in loaded.values():
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        model = MivosModel(
            cast("PropagationNetwork", loaded["weights"]),
            cast("FusionNetwork | None", loaded.get("fusion_weights")),
            dtype,
            config.top_k,
            config.batch_size,
            config.tile_side,
        )
        budgets = cache_budgets(
            config.memory_profile,
            n_frames=frames.n_frames,
            pixels=math.prod(frames.shape),
            itemsize=dtype.itemsize,
            free=free_memory(chosen),
        )
        images = MivosFrames(frames, chosen, model.encode, budgets)
        settled: dict[str, object] = {
            "engine": "mivos",
            "weights": files["weights"].name,
            **hashes,
            "config": asdict(config),
            **machine(chosen, dtype),
        }
        return cls(frames, config, model, images, chosen, settled)

    def scale(self, span: Span) -> float:
        """Return how much larger the frames of a span are seen."""
        wanted = self.config.working_scale
        return scale_for(span.object_side) if isinstance(wanted, str) else float(wanted)

    def estimate(self, spans: Sequence[Span]) -> Estimate:
        """Return what propagating `spans` will take, from a timed part of a frame."""
        object_frames = sum(len(span.frames) * len(span.object_ids) for span in spans)
        if not object_frames:
            return Estimate(0, 0.0, 0)
        n_objects, object_memory, shared = max(map(self._memory, spans), key=_total)
        memory = _total((n_objects, object_memory, shared)) + sum(self.images.budgets)
        per_frame, per_object = self._seconds()
        seconds = sum(
            (per_frame + per_object * len(span.object_ids))
            * len(span.frames)
            * math.prod(size)
            * computed_share(self.config.tile_side, size)
            for span, size in ((span, self._size(span)) for span in spans)
        )
        return Estimate(memory, seconds / TIMED_SIDE**2, object_frames, n_objects, object_memory)

    def _memory(self, span: Span) -> tuple[int, int, int]:
        """Return the number of objects of a span, the bytes of each, and those of all together."""
        size, itemsize = self._size(span), self.model.dtype.itemsize
        pixels = math.prod(size)
        position = (KEY_DEPTH + VALUE_DEPTH) * itemsize
        bank = self._n_memories(span) * pixels // STRIDE**2 * position
        n_objects = len(span.object_ids)
        batch = min(n_objects, self.config.batch_size)
        work = largest_part(self.config.tile_side, size) * max(FRAME_BYTES, batch * OBJECT_BYTES)
        shared = (work + pixels * QUERY_BYTES) * itemsize // 4 + pixels * FROZEN_BYTES
        # Affinities, and the best of them.
        return n_objects, bank + pixels * PLANE_BYTES, shared + 2 * CHUNK_ENTRIES * 4

    def _size(self, span: Span) -> tuple[int, int]:
        """Return (height, width) of the frames as the networks see them."""
        return WorkingFrame(self.frames.shape, self.scale(span)).padded

    def propagate(self, span: Span, evidence: EvidenceReader) -> Iterator[FrameEvidence]:
        """Predict the frames of `span` in order; see `Propagator.propagate`."""
        with ExitStack() as stack:
            folder = None
            if self._spills:
                folder = Path(stack.enter_context(TemporaryDirectory(prefix="napari-vos-")))
            run = MivosSpan(self, span, evidence, folder=folder)
            for t in self.frames.read_ahead(span.frames):
                yield run.step(t)

    @property
    def _spills(self) -> bool:
        """Whether memories lie in files."""
        return self.config.memory_profile == 3

    def _n_memories(self, span: Span) -> int:
        """Return how many memories are on the device at a time."""
        if self._spills:
            return 2  # the previous one, and the one that is read or was just made
        kept = abs(span.end - span.start) // self.config.memory_every
        if self.config.memory_frames is not None:
            kept = min(kept, self.config.memory_frames)
        return len(span.references) + kept + 2

    def _seconds(self) -> tuple[float, float]:
        """Return the seconds a frame takes, and those each of its objects takes."""
        image = torch.zeros(1, 3, TIMED_SIDE, TIMED_SIDE, device=self.device)
        mask = image[:, :1]
        self.model.encode(image)  # the first call is slower
        started = time.perf_counter()
        query = self.model.encode(image)
        encoded = time.perf_counter()
        bank, frozen = SpaceTimeBank(), Frozen.of(mask[:0])
        bank.add(0, self.model.memorize(image, mask, frozen), keep=True)
        # Reading its result waits for the device.
        self.model.find(query, bank, frozen).cpu()
        return encoded - started, time.perf_counter() - encoded


def _total(memory: tuple[int, int, int]) -> int:
    n_objects, each, shared = memory
    return n_objects * each + shared

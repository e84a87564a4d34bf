"""MAST: pixels take the labels of those they resemble in earlier frames, learned without labels.

Lai, Lu, Xie, "MAST: A Memory-Augmented Self-Supervised Tracker", CVPR 2020.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from napari_vos import checkpoints
from napari_vos.configs import MastConfig
from napari_vos.device import choose_device, choose_precision
from napari_vos.engines.base import Estimate, EvidenceReader, Span
from napari_vos.engines.mast_frames import MastFrames
from napari_vos.engines.mast_reading import READINGS, Reading
from napari_vos.engines.mast_span import MastSpan
from napari_vos.engines.plans import check_weights, machine
from napari_vos.networks.mast import STRIDE, Reference, read_labels, reference_frames
from napari_vos.networks.mast.features import BAND_PIXELS
from napari_vos.networks.memory import CHUNK_ENTRIES

if TYPE_CHECKING:
    from napari_vos.frames import FrameStack
    from napari_vos.networks.mast import Mast
    from napari_vos.store.evidence import FrameEvidence

PIXEL_BYTES = 400
"""Memory the widest network takes per pixel it sees at a time."""

TIMED_SIDE = 128
"""Frames are timed on a part of this size; the time grows with the area."""


@dataclass(frozen=True)
class MastPropagator:
    """Propagates the masks of all objects of a span in one reading.

    An object is never given up: what is hidden for some frames may come back.

    Make one with `MastPropagator.create`.
    """

    frames: FrameStack
    config: MastConfig
    network: Mast
    reading: Reading
    images: MastFrames
    device: torch.device
    plan: Mapping[str, object]

    @classmethod
    def create(
        cls,
        frames: FrameStack,
        *,
        config: MastConfig | None = None,
        weights: str | Path | None = None,
        device: str = "auto",
        precision: str = "auto",
        plan: Mapping[str, Any] | None = None,
    ) -> MastPropagator:
        """Load the network and settle the plan.

        Raises
        ------
        NapariVosError
            If the weights, the device or the precision can't be used, or
            `plan` was made with other weights.
        """
        if plan is not None:
            config = MastConfig(**plan["config"])
            device, precision = str(plan["device"]), str(plan["precision"])
        config = config or MastConfig()
        chosen = choose_device(device)
        dtype = choose_precision(precision, chosen)
        path = checkpoints.resolve(weights, "mast_small")
        sha256 = check_weights("MAST", path, plan, "weights_sha256")
        found = checkpoints.identify(path).network
        name = found if found in READINGS else "mast"
        network = cast("Mast", checkpoints.load_network(name, path).to(chosen, dtype))
        images = MastFrames(frames, network, cache_bytes=config.cache_megabytes << 20)
        settled: dict[str, object] = {
            "engine": "mast",
            "weights": path.name,
            "weights_sha256": sha256,
            "config": asdict(config),
            **machine(chosen, dtype),
        }
        return cls(frames, config, network, READINGS[name], images, chosen, settled)

    @property
    def radius(self) -> int:
        """Of windows of candidates, in features."""
        return self.reading.radius if self.config.radius is None else self.config.radius

    def spacing(self, span: Span) -> int:
        """Return how many pixels features of a span are apart."""
        if self.config.spacing is not None:
            return self.config.spacing
        return self.reading.spacing(span.object_side, self.frames.shape)

    def estimate(self, spans: Sequence[Span]) -> Estimate:
        """Return what propagating `spans` will take, from a timed part of a frame."""
        n_frames = sum(len(span.frames) for span in spans)
        object_frames = sum(len(span.frames) * len(span.object_ids) for span in spans)
        if not n_frames:
            return Estimate(0, 0.0, 0)
        height, width = self.frames.shape
        features = max(height * width // self.spacing(span) ** 2 for span in spans)
        pixels = features * STRIDE**2  # of the frame as the network sees it
        n_references = max(len(span.references) for span in spans) + len(reference_frames(99))
        memory = (
            (self.config.cache_megabytes << 20)
            # References as they are read, in float32 and with margins.
            + n_references * features * (2 * self.network.depth * 4 + self.reading.label_bytes)
            + min(pixels, 2 * BAND_PIXELS) * PIXEL_BYTES
            + 4 * 4 * CHUNK_ENTRIES
            + 40 * pixels
        )
        seconds = self._seconds() * n_frames * pixels / TIMED_SIDE**2
        return Estimate(memory, seconds, object_frames)

    def propagate(self, span: Span, evidence: EvidenceReader) -> Iterator[FrameEvidence]:
        """Predict the frames of `span` in order; see `Propagator.propagate`."""
        run = MastSpan(self, span, evidence)
        for t in self.frames.read_ahead(span.frames):
            yield run.step(t)

    @torch.inference_mode()
    def _seconds(self) -> float:
        """Return the seconds that a frame of the timed size takes."""
        weight = self.network.post_convolution.weight
        image = torch.zeros(1, 3, TIMED_SIDE, TIMED_SIDE, device=self.device, dtype=weight.dtype)
        self.network.encode(image)  # the first call is slower
        started = time.perf_counter()
        features = self.network.encode(image)
        labels = torch.ones_like(features[:, :1], dtype=torch.int64)
        references = [Reference(features, labels, 99 - t) for t in reference_frames(99)]
        bands = read_labels(features, references, 2, radius=self.radius, top_k=self.reading.top_k)
        for _, scores in bands:
            scores.cpu()  # waits for the device
        return time.perf_counter() - started

"""One span of MAST in work: forward or backward from a user frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_vos.engines.fusion import add_to
from napari_vos.engines.mast_labels import Enlargement, Scores, labels_at_features
from napari_vos.engines.shares import Shares
from napari_vos.networks.mast import Reference, read_labels, reference_frames
from napari_vos.store.evidence import Box, FrameEvidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.engines.base import EvidenceReader, Span
    from napari_vos.engines.mast import MastPropagator


class MastSpan:
    """Reads the objects of a span from its user frames and from what was finished of it.

    So all references hold the objects: frames on which nobody has marked them
    yet, whose pixels would vote for background, are never read. From frame to
    frame it keeps nothing but how far apart features are: resumed and
    uninterrupted runs agree.
    """

    def __init__(self, engine: MastPropagator, span: Span, evidence: EvidenceReader) -> None:
        self.engine = engine
        self.span = span
        self.evidence = evidence
        self.spacing = engine.spacing(span)
        if span.done_until is not None:
            self.spacing = int(evidence.state(span.done_until, span)["spacing"])
        self.shares = (
            None if span.fuse_with is None else Shares(span, evidence, engine.frames.shape)
        )
        self.enlargement = Enlargement(
            engine.frames.shape, spacing=self.spacing, aligned=engine.reading.aligned
        )

    @torch.inference_mode()
    def step(self, t: int) -> FrameEvidence:
        """Predict frame `t`."""
        engine, ids = self.engine, self.span.object_ids
        bands = read_labels(
            engine.images.features(t, self.spacing),
            [self._reference(frame, abs(t - frame)) for frame in self.references(t)],
            len(ids) + 1,
            radius=engine.radius,
            own_offsets=not engine.config.last_offset_for_all,
            top_k=engine.reading.top_k,
            nearness=engine.reading.nearness,
        )
        scores = Scores.gather(bands)
        objects = self.enlargement.windows(ids, scores, self._frozen(t))
        if self.shares is not None:
            objects = self.shares.blend(t, objects, self.evidence.before(t).objects)
        return FrameEvidence(t, objects, state={"spacing": np.array(self.spacing)})

    def references(self, t: int) -> list[int]:
        """Return the frames that frame `t` is read from, the most distant ones first."""
        start, direction = self.span.start, self.span.direction
        steps = reference_frames((t - start) * direction)
        frames = {start + direction * step for step in steps} | set(self.span.references)
        return sorted(frames, key=lambda frame: (-abs(t - frame), frame))

    def _reference(self, t: int, gap: int) -> Reference:
        labels, shares = labels_at_features(
            self.evidence.read(t).objects.values(),
            self.span.object_ids,
            self.engine.frames.shape,
            spacing=self.spacing,
            count=self.engine.reading.labels_each,
        )
        device = self.engine.device
        return Reference(
            self.engine.images.features(t, self.spacing),
            torch.from_numpy(labels)[None].to(device),
            gap,
            torch.from_numpy(shares)[None].to(device) if len(shares) > 1 else None,
        )

    def _frozen(self, t: int) -> NDArray[np.float32]:
        """Return the probability (Y, X) of all objects on frame `t` that aren't of this span."""
        shape = self.engine.frames.shape
        frozen = np.zeros(shape, np.float32)
        for object_id, item in self.evidence.read(t).objects.items():
            if object_id not in self.span.object_ids:
                add_to(frozen, Box(0, 0, *shape), item)
        return frozen

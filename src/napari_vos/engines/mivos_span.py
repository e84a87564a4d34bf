"""One span of MiVOS in work: forward or backward from a user frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_vos.engines.mivos_bank import SpaceTimeBank
from napari_vos.engines.mivos_frozen import Frozen
from napari_vos.engines.mivos_model import Correction
from napari_vos.engines.mivos_scale import WorkingFrame
from napari_vos.engines.mivos_windows import dense, pack, unpack, windows
from napari_vos.store.evidence import FrameEvidence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_vos.engines.base import EvidenceReader, Span
    from napari_vos.engines.mivos import MivosPropagator
    from napari_vos.store.evidence import ObjectEvidence


class MivosSpan:
    """Follows the objects of a span from its start, or from where it was left.

    What is remembered of a frame are its masks before fusion, as the state that
    was yielded with it has them: so resumed and uninterrupted runs agree.

    Parameters
    ----------
    engine, span, evidence
        See `MivosPropagator.propagate`.
    folder
        Where kept memories go; None to keep them on the device.
    """

    def __init__(
        self,
        engine: MivosPropagator,
        span: Span,
        evidence: EvidenceReader,
        *,
        folder: Path | None = None,
    ) -> None:
        self.engine = engine
        self.span = span
        self.evidence = evidence
        self.last: tuple[int, Mapping[str, NDArray[np.generic]]] | None = None
        scale = engine.scale(span)
        if span.done_until is not None:
            self.last = span.done_until, evidence.state(span.done_until, span)
            scale = float(self.last[1]["scale"])
        self.working = WorkingFrame(engine.frames.shape, scale)
        self.bank = SpaceTimeBank(folder)
        self.kept: list[int] = []
        for t in span.references:
            self._remember(t, self._masks(evidence.read(t)), keep=True)
        self.correction = self._correction() if span.fuse_with is not None else None
        if self.last is not None:
            for kept in self.last[1]["kept"]:
                self._keep(int(kept))

    def step(self, t: int) -> FrameEvidence:
        """Predict frame `t`, the one after the last."""
        if self.last is not None:
            self._remember_last(*self.last)
        model, ids = self.engine.model, self.span.object_ids
        image = self.engine.images.image(t, self.working)
        query = self.engine.images.query(t, self.working)
        frozen = self._frozen(t)
        found = model.find(query, self.bank, frozen)[1:]
        if t != self.span.end:
            self.engine.images.expect(t + self.span.direction, self.working)
        state = pack(windows(ids, found[:, 0].cpu().numpy()), self.kept, self.working.scale)
        self.last = t, state
        if self.correction is not None and self.span.fuse_with is not None:
            length = abs(self.span.fuse_with - self.span.start)
            found = model.fuse(
                image,
                query,
                old=self._masks(self.evidence.before(t)),
                new=found,
                correction=self.correction,
                distance=(
                    abs(self.span.fuse_with - t) / length,
                    abs(self.span.start - t) / length,
                ),
                frozen=frozen,
            )[1:]
        found = found.cpu()
        inside = self.working.leave(found)[:, 0].numpy()
        border = found[:, 0].numpy()[:, self.working.border].astype(np.float16)
        return FrameEvidence(t, windows(ids, inside, border), state=state)

    def _remember_last(self, t: int, state: Mapping[str, NDArray[np.generic]]) -> None:
        last_kept = self.kept[-1] if self.kept else self.span.start
        keep = abs(t - last_kept) >= self.engine.config.memory_every
        self._remember(t, self._unpacked(state), keep=keep)
        if keep:
            self.kept.append(t)
            limit = self.engine.config.memory_frames
            if limit is not None and len(self.kept) > limit:
                self.bank.forget(self.kept.pop(0))

    def _keep(self, t: int) -> None:
        self._remember(t, self._unpacked(self.evidence.state(t, self.span)), keep=True)
        self.kept.append(t)

    def _remember(self, t: int, masks: Tensor, *, keep: bool) -> None:
        image = self.engine.images.image(t, self.working)
        memory = self.engine.model.memorize(image, masks, self._frozen(t))
        self.bank.add(t, memory, keep=keep)

    def _correction(self) -> Correction:
        """Return what the user has changed on the frame from which this span starts."""
        start = self.span.start
        before = self._masks(self.evidence.uncorrected(start))
        after = self._masks(self.evidence.read(start))
        return Correction.between(self.bank.key(start).clone(), before, after)

    def _masks(self, evidence: FrameEvidence) -> Tensor:
        """Return the masks (K, 1, H, W) of the objects of this span."""
        return self._planes([evidence.objects.get(i) for i in self.span.object_ids])

    def _frozen(self, t: int) -> Frozen:
        """Return all other objects on frame `t`; one plane exists at a time."""
        frozen = Frozen.of(self._planes([None])[:0])
        for object_id, item in self.evidence.read(t).objects.items():
            if object_id not in self.span.object_ids:
                frozen = frozen.joined(Frozen.of(self._planes([item])))
        return frozen

    def _planes(self, items: Sequence[ObjectEvidence | None]) -> Tensor:
        """Return masks (K, 1, H, W); 0 in the border of those of whom nothing is known there.

        That is so of what the user has painted.
        """
        inside = torch.from_numpy(dense(items, self.engine.frames.shape))[:, None]
        planes, where = self.working.enter(inside)[:, 0].numpy(), self.working.border
        for plane, item in zip(planes, items, strict=True):
            if item is not None and item.border is not None and item.border.size == where.sum():
                plane[where] = item.border
        return self._tensor(planes)

    def _unpacked(self, state: Mapping[str, NDArray[np.generic]]) -> Tensor:
        return self._tensor(unpack(state, self.span.object_ids, self.working.padded))

    def _tensor(self, planes: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(planes)[:, None].to(self.engine.device)

"""Images and an engine without any network: masks that walk to the right.

An object moves by one or two pixels in turn. Whose turn it is, is known from the
engine's state alone: an engine that can't read its state back goes wrong.
Run as a script, this file propagates slowly, to be killed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_vos.engines.base import Estimate, EvidenceReader, Span
from napari_vos.store.evidence import (
    Box,
    EndReason,
    FrameEvidence,
    ObjectEnd,
    ObjectEvidence,
    Source,
)

DECAY = np.float16(0.96)


@dataclass(frozen=True)
class FakeFrames:
    n_frames: int = 12
    shape: tuple[int, int] = (24, 40)
    name: str = "phase"
    path: Path | None = None
    axes: str = "TYX"
    channels: tuple[int, ...] = (0,)
    fingerprint: str = "abc"
    normalization: Mapping[str, Any] = field(default_factory=lambda: {"low": [0.0], "high": [1.0]})


class WalkingPropagator:
    def __init__(self, shape: tuple[int, int], plan: Mapping[str, Any]) -> None:
        self.shape = shape
        self.plan = plan
        self.spans: list[Span] = []
        self.seen_before: dict[tuple[int, int], bool] = {}
        self.fails_at: int | None = None
        self.pause = 0.0
        self.look: Callable[[int], object] = lambda t: None
        self.loses: Mapping[tuple[int, int], EndReason] = {}

    def estimate(self, spans: Sequence[Span]) -> Estimate:
        object_frames = sum(len(span.frames) * len(span.object_ids) for span in spans)
        return Estimate(
            1000 * self.plan["config"]["batch_size"], 0.001 * object_frames, object_frames
        )

    def propagate(self, span: Span, evidence: EvidenceReader) -> Iterator[FrameEvidence]:
        self.spans.append(span)
        alive = list(span.object_ids)
        for t in span.frames:
            if t == self.fails_at:
                raise ValueError("the network has exploded")
            time.sleep(self.pause)
            self.look(t)
            last = t - span.direction
            state = evidence.state(last, span)
            count = int(state["count"]) if last != span.start else 0
            objects: dict[int, ObjectEvidence] = {}
            ends = []
            known = evidence.read(last).objects
            old = evidence.before(t).objects
            for object_id in list(alive):
                self.seen_before[(t, object_id)] = object_id in old
                moved = self._move(known[object_id], span.direction * (1 + count % 2))
                if moved is None or (t, object_id) in self.loses:
                    reason = self.loses.get((t, object_id), EndReason.LEFT)
                    ends.append(ObjectEnd(object_id, t, reason))
                    alive.remove(object_id)
                elif span.fuse_with is not None and object_id in old:
                    objects[object_id] = self._fuse(moved, old[object_id], t, span)
                else:
                    objects[object_id] = moved
            yield FrameEvidence(t, objects, tuple(ends), {"count": np.array(count + 1)})
            if not alive:
                return

    def _move(self, item: ObjectEvidence, step: int) -> ObjectEvidence | None:
        top, left, bottom, right = item.box
        width = self.shape[1]
        new_left, new_right = max(0, left + step), min(width, right + step)
        if new_left >= new_right:
            return None
        first = new_left - (left + step)
        window = item.probability[:, first : first + new_right - new_left] * DECAY
        return ObjectEvidence(
            item.object_id,
            Box(top, new_left, bottom, new_right),
            window.astype(np.float16),
            item.confidence * 0.98,
            Source.PROPAGATED,
        )

    def _fuse(self, new: ObjectEvidence, old: ObjectEvidence, t: int, span: Span) -> ObjectEvidence:
        assert span.fuse_with is not None
        is_nearer = abs(t - span.start) <= abs(t - span.fuse_with)
        return replace(new if is_nearer else old, confidence=(new.confidence + old.confidence) / 2)


class Factory:
    """Stands for `napari_vos.engines.create_propagator`."""

    def __init__(self) -> None:
        self.made: list[WalkingPropagator] = []
        self.arguments: list[dict[str, Any]] = []
        self.threads = 1
        self.pause = 0.0
        self.look: Callable[[Any, int], object] = lambda frames, t: None
        self.loses: dict[tuple[int, int], EndReason] = {}

    def __call__(
        self, name: str, frames: FakeFrames, *, plan: Any = None, **arguments: Any
    ) -> WalkingPropagator:
        self.arguments.append({"name": name, "plan": plan, **arguments})
        own = {"engine": name, "weights": "sha", "threads": self.threads, "device": "cpu"}
        config = plan["config"] if plan else {"batch_size": 16}
        self.made.append(WalkingPropagator(frames.shape, {**own, "config": config}))
        self.made[-1].pause = self.pause
        self.made[-1].loses = self.loses
        self.made[-1].look = partial(self.look, frames)
        return self.made[-1]

    @property
    def latest(self) -> WalkingPropagator:
        return self.made[-1]

    @property
    def spans(self) -> list[Span]:
        return [span for each in self.made for span in each.spans]


def blocks(shape: tuple[int, int], **corners: tuple[int, int]) -> np.ndarray:
    """Return labels with 4 x 4 blocks: o7=(2, 3) is object 7 at row 2, column 3."""
    labels = np.zeros(shape, np.uint16)
    for name, (top, left) in corners.items():
        labels[top : top + 4, left : left + 4] = int(name[1:])
    return labels


def main(folder: str) -> None:
    import napari_vos.engines
    from napari_vos.session import Session

    factory = Factory()
    factory.pause = 0.05
    napari_vos.engines.create_propagator = factory  # type: ignore[attr-defined]
    frames: Any = FakeFrames()
    session = Session(frames, folder=folder)
    session.add_mask(0, blocks(frames.shape, o1=(2, 2), o2=(10, 30)))
    session.add_mask(6, blocks(frames.shape, o1=(2, 12)))
    for result in session.propagate():
        print(result.t, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])

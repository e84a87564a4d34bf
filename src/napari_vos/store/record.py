"""What the store keeps of one frame, and how it lies in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from napari_vos.store.evidence import Box, EndReason, ObjectEvidence, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SOURCES = tuple(Source)
_REASONS = tuple(EndReason)
_NO_BORDER = np.empty(0, np.float16)


class Event(NamedTuple):
    """A row of the events table.

    Attributes
    ----------
    t
        Frame index from which on the object isn't there, in `direction`.
    object_id
        The object.
    reason
        Why.
    direction
        1 if it ends forward in time, -1 if it was followed backward and has
        its beginning here.
    parents
        Objects it comes from.
    """

    t: int
    object_id: int
    reason: EndReason
    direction: int = 1
    parents: tuple[int, ...] = ()


class Entry(NamedTuple):
    """One object on one frame, without its window and its border, of which it knows the length."""

    box: Box
    confidence: float
    source: Source
    n_border: int = 0


class FrameIndex(NamedTuple):
    """A frame without its arrays: `Entry` by object id, and events."""

    entries: Mapping[int, Entry]
    events: tuple[Event, ...]


@dataclass(frozen=True, eq=False)
class FrameRecord:
    """One version of one frame.

    Attributes
    ----------
    labels
        (Y, X) uint16.
    objects
        Evidence by object id.
    events
        What happens on this frame.
    """

    labels: NDArray[np.uint16]
    objects: Mapping[int, ObjectEvidence] = field(default_factory=dict)
    events: tuple[Event, ...] = ()


def pack_record(record: FrameRecord) -> dict[str, NDArray[np.generic]]:
    """Return `record` as named arrays: `labels`, `probability`, and small `index_...`.

    All windows, each followed by its border, go into one array, since a file
    with an entry per object would spend its time on entries.
    """
    objects = [record.objects[object_id] for object_id in sorted(record.objects)]
    borders = [_NO_BORDER if item.border is None else item.border for item in objects]
    windows = [
        np.asarray(part, np.float16).ravel()
        for item, border in zip(objects, borders, strict=True)
        for part in (item.probability, border)
    ]
    events = [
        (each.object_id, _REASONS.index(each.reason), each.direction) for each in record.events
    ]
    parents = [(row, parent) for row, each in enumerate(record.events) for parent in each.parents]
    return {
        "labels": np.asarray(record.labels, np.uint16),
        "probability": np.concatenate(windows) if windows else np.empty(0, np.float16),
        "index_ids": np.array([item.object_id for item in objects], np.uint16),
        "index_boxes": np.array([item.box for item in objects], np.int32).reshape(-1, 4),
        "index_confidence": np.array([item.confidence for item in objects], np.float64),
        "index_sources": np.array([_SOURCES.index(item.source) for item in objects], np.uint8),
        "index_borders": np.array([border.size for border in borders], np.int32),
        "index_events": np.array(events, np.int32).reshape(-1, 3),
        "index_parents": np.array(parents, np.int32).reshape(-1, 2),
    }


def unpack_index(t: int, arrays: Mapping[str, NDArray[np.generic]]) -> FrameIndex:
    """Return the index of frame `t` from the `index_...` arrays of `pack_record`."""
    rows = cast("Mapping[str, NDArray[Any]]", arrays)
    entries = {
        object_id: Entry(Box(*box), confidence, _SOURCES[source], n_border)
        for object_id, box, confidence, source, n_border in zip(
            rows["index_ids"].tolist(),
            rows["index_boxes"].tolist(),
            rows["index_confidence"].tolist(),
            rows["index_sources"].tolist(),
            rows["index_borders"].tolist(),
            strict=True,
        )
    }
    parents = rows["index_parents"].tolist()
    events = tuple(
        Event(t, object_id, _REASONS[reason], direction, tuple(p for i, p in parents if i == row))
        for row, (object_id, reason, direction) in enumerate(rows["index_events"].tolist())
    )
    return FrameIndex(entries, events)


def unpack_objects(
    index: FrameIndex, probability: NDArray[np.float16]
) -> dict[int, ObjectEvidence]:
    """Return the evidence of a frame from its index and the `probability` array."""
    objects: dict[int, ObjectEvidence] = {}
    offset = 0
    for object_id, (box, confidence, source, n_border) in index.entries.items():
        height, width = box.shape
        window = probability[offset : offset + height * width].reshape(height, width)
        window.setflags(write=False)
        offset += height * width
        border = probability[offset : offset + n_border] if n_border else None
        offset += n_border
        objects[object_id] = ObjectEvidence(object_id, box, window, confidence, source, border)
    return objects

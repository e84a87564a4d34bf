"""The objects of a time-lapse as a table."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_vos.io.output import whole_output

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Judgement(NamedTuple):
    """What is thought of an object on a frame.

    Attributes
    ----------
    confidence
        In [0, 1].
    source
        Who said so: "user", "propagated" or "detected".
    """

    confidence: float
    source: str


class ObjectRow(NamedTuple):
    """One object on one frame.

    Attributes
    ----------
    t
        Frame index.
    id
        Object id.
    area
        Number of pixels.
    centroid_y, centroid_x
        Mean position of the pixels, in pixels, centres at integers.
    confidence, source
        See `Judgement`; None if nothing is known.
    """

    t: int
    id: int
    area: int
    centroid_y: float
    centroid_x: float
    confidence: float | None
    source: str | None


class EventRow(NamedTuple):
    """The beginning or the end of an object.

    Attributes
    ----------
    t
        The object's first frame, or the first one without it.
    id
        Object id.
    event
        "begins" or "ends".
    reason
        Why it isn't followed beyond; None if the user's masks or the stack don't tell.
        "divided" for parents of two or more.
    parent
        The object it comes from, if that was accepted.
    proposed_parent
        The object it may come from.
    """

    t: int
    id: int
    event: str
    reason: str | None
    parent: int | None = None
    proposed_parent: int | None = None


def object_table(
    labels: Iterable[NDArray[np.uint16]],
    judgements: Iterable[Mapping[int, Judgement]],
) -> Iterator[ObjectRow]:
    """Measure the objects of each frame, one frame in memory at a time.

    Parameters
    ----------
    labels
        Frames (Y, X) uint16 in the order of time.
    judgements
        For each frame what is thought of its objects, by id.

    Yields
    ------
    ObjectRow
        Sorted by frame, then by id.
    """
    for t, (frame, known) in enumerate(zip(labels, judgements, strict=True)):
        rows, columns = np.nonzero(frame)
        ids = frame[rows, columns]
        area = np.bincount(ids)
        sum_y, sum_x = np.bincount(ids, rows), np.bincount(ids, columns)
        for object_id in np.flatnonzero(area).tolist():
            n_pixels = int(area[object_id])
            judgement = known.get(object_id)
            yield ObjectRow(
                t,
                object_id,
                n_pixels,
                float(sum_y[object_id]) / n_pixels,
                float(sum_x[object_id]) / n_pixels,
                judgement.confidence if judgement else None,
                judgement.source if judgement else None,
            )


def write_table(
    path: str | PathLike[str],
    rows: Iterable[ObjectRow] | Iterable[EventRow],
    *,
    kind: type[ObjectRow] | type[EventRow] = ObjectRow,
    overwrite: bool = False,
) -> None:
    """Write a table as comma-separated values, whole or not at all.

    Centroids and confidence have four digits; what isn't known stays empty.

    Parameters
    ----------
    path
        The file.
    rows
        Of one kind.
    kind
        What they are: the names of the columns.
    overwrite
        Whether to replace what is at `path` already.

    Raises
    ------
    StoreError
        If `path` exists already or can't be written.
    """
    with (
        whole_output(Path(path), overwrite=overwrite) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(kind._fields)
        for row in rows:
            writer.writerow([_cell(value) for value in row])


def _cell(value: float | str | None) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)

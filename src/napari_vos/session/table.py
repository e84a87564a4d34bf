"""The results as rows of a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict

import numpy as np

if TYPE_CHECKING:
    from napari_vos.session.ledger import Ledger


class Row(TypedDict):
    """One object on one frame.

    Attributes
    ----------
    t
        Frame index.
    id
        The user's object id.
    area
        Pixels.
    centroid_y, centroid_x
        Mean position of its pixels, in data pixels, pixel centres at integers.
    confidence
        Expected Jaccard index, in [0, 1].
    source
        "user" or "propagated".
    """

    t: int
    id: int
    area: int
    centroid_y: float
    centroid_x: float
    confidence: float
    source: str


def iterate_rows(ledger: Ledger) -> Iterator[Row]:
    """Yield a row for every object that has pixels on a frame, frame by frame."""
    for t in range(ledger.n_frames):
        labels = ledger.labels(t)
        rows, columns = np.nonzero(labels)
        ids = labels[rows, columns]
        areas = np.bincount(ids)
        sums_y, sums_x = np.bincount(ids, rows), np.bincount(ids, columns)
        for object_id, entry in ledger.index(ledger.version(t)).entries.items():
            area = int(areas[object_id]) if object_id < len(areas) else 0
            if area:
                yield Row(
                    t=t,
                    id=object_id,
                    area=area,
                    centroid_y=float(sums_y[object_id] / area),
                    centroid_x=float(sums_x[object_id] / area),
                    confidence=entry.confidence,
                    source=str(entry.source),
                )

"""Between dense probabilities of a frame, as MiVOS computes them, and windows of evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_vos.engines.fusion import add_to
from napari_vos.store.evidence import Box, ObjectEvidence, Source, expected_jaccard, window_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

FAINTEST = 0.01
"""Outside its window an object is less probable than this and taken for absent."""


def dense(items: Iterable[ObjectEvidence | None], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return probabilities (K, Y, X) of objects; 0 of one that isn't there."""
    items = list(items)
    planes = np.zeros((len(items), *shape), np.float32)
    for plane, item in zip(planes, items, strict=True):
        if item is not None:
            add_to(plane, Box(0, 0, *shape), item)
    return planes


def windows(
    object_ids: Sequence[int],
    probabilities: NDArray[np.float32],
    borders: NDArray[np.float16] | None = None,
) -> dict[int, ObjectEvidence]:
    """Return probabilities as evidence; an object that is nowhere on the frame isn't in it.

    Parameters
    ----------
    object_ids
        K objects.
    probabilities
        (K, Y, X), of the frame.
    borders
        (K, N), of the N pixels beyond it.
    """
    found = {}
    for index, (object_id, plane) in enumerate(zip(object_ids, probabilities, strict=True)):
        box = window_of(plane >= FAINTEST)
        if box is not None:
            window = plane[box.slices]
            found[object_id] = ObjectEvidence(
                object_id,
                box,
                window.astype(np.float16),
                expected_jaccard(window),
                Source.PROPAGATED,
                None if borders is None else borders[index],
            )
    return found


def pack(
    found: Mapping[int, ObjectEvidence], kept: Sequence[int], scale: float
) -> dict[str, NDArray[np.generic]]:
    """Return the state to save with a frame: its masks before fusion, kept frames, scale."""
    state: dict[str, NDArray[np.generic]] = {
        "kept": np.array(kept, np.int64),
        "scale": np.array(scale),
    }
    for object_id, item in found.items():
        state[f"box_{object_id}"] = np.array(item.box, np.int64)
        state[f"mask_{object_id}"] = item.probability
    return state


def unpack(
    state: Mapping[str, NDArray[np.generic]], object_ids: Sequence[int], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Return the masks (K, Y, X) that `pack` was given."""
    masks = np.zeros((len(object_ids), *shape), np.float32)
    for plane, object_id in zip(masks, object_ids, strict=True):
        if f"box_{object_id}" in state:
            box = Box(*(int(side) for side in state[f"box_{object_id}"]))
            plane[box.slices] = state[f"mask_{object_id}"]
    return masks

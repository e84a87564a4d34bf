"""Labels (T, Y, X) shown over images with more axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import zarr


class SpreadLabels:
    """The same labels on every channel, without a copy.

    Layers are aligned by their last axes: labels without the channel axis of an image
    (T, C, Y, X) would take channels for time.

    Parameters
    ----------
    labels
        (T, Y, X).
    letters
        One letter per dimension of the image; others than T, Y, X are spread over.
    shape
        The image's.
    """

    def __init__(self, labels: zarr.Array[Any], letters: str, shape: tuple[int, ...]) -> None:
        self._labels = labels
        self._letters = letters
        self.shape = shape
        self.dtype = labels.dtype
        self.ndim = len(shape)
        self.size = int(np.prod(shape))

    def __getitem__(self, key: Any) -> np.ndarray[Any, Any]:
        full = self._full(key)
        if any(isinstance(part, np.ndarray) for part in full):
            return np.asarray(self._labels.vindex[self._own(full)])
        found = np.asarray(self._labels[self._own(full)])
        axis, shape = 0, []
        for part, letter, length in zip(full, self._letters, self.shape, strict=True):
            if not isinstance(part, slice):
                continue
            shape.append(len(range(*part.indices(length))))
            if letter not in "TYX":
                found = np.expand_dims(found, axis)
            axis += 1
        # A copy: napari writes into what it has read.
        return np.broadcast_to(found, shape).copy()

    def __setitem__(self, key: Any, value: Any) -> None:
        full = self._full(key)
        target = self._labels.vindex if any(isinstance(p, np.ndarray) for p in full) else None
        if target is None:
            self._labels[self._own(full)] = value
        else:
            target[self._own(full)] = value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self[...], dtype=dtype)

    def _full(self, key: Any) -> tuple[Any, ...]:
        parts = key if isinstance(key, tuple) else (key,)
        before = next((i for i, part in enumerate(parts) if part is Ellipsis), len(parts))
        after = parts[before + 1 :]
        filling = (slice(None),) * (self.ndim - before - len(after))
        return (*parts[:before], *filling, *after)

    def _own(self, full: tuple[Any, ...]) -> tuple[Any, ...]:
        pairs = zip(full, self._letters, strict=True)
        return tuple(part for part, letter in pairs if letter in "TYX")


def spread(labels: Any, letters: str, shape: tuple[int, ...]) -> Any:
    """Return labels (T, Y, X) with the axes of an image; see `SpreadLabels`."""
    return labels if letters == "TYX" else SpreadLabels(labels, letters, shape)

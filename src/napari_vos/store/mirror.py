"""The labels of all frames as one zarr array, to be shown and exported."""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from napari_vos.errors import StoreError
from napari_vos.store.files import reported

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


_ADVICE = "Delete this folder: it is made again when the session is opened."


class LabelMirror:
    """A (T, Y, X) uint16 zarr array, one chunk per frame, that follows the versions.

    It is what napari shows. The versions are the truth; this can be made again
    from them at any time.

    A frame may be held in any thread; that waits for the writing of one frame at most.

    Parameters
    ----------
    path
        The zarr folder; made if it isn't there.
    shape
        (T, Y, X).

    Raises
    ------
    StoreError
        If it can't be made, is damaged, or is there with another shape.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self._path = path
        self.stale: set[int] = set()
        """Frames that still have to be written to be what their version says."""
        self.shown: dict[int, str] = {}
        """The version that a frame shows; one that isn't in it is empty."""
        self._held: Counter[int] = Counter()
        self._lock = Lock()
        self.is_new = not path.exists()
        """Whether it was made just now, and holds nothing yet."""
        with reported(path, "open"):
            if self.is_new:
                _create(path, shape)
            self.array: zarr.Array[Any] = _open(path)
        if self.array.shape != shape:
            raise StoreError(
                f"'{path}' has shape {self.array.shape}; the session has {shape}. {_ADVICE}"
            )

    @property
    def is_true(self) -> bool:
        """Whether every frame is what its version says."""
        return not self.stale and not self._held

    def hold(self, t: int) -> None:
        """Let frame `t` stay as it is until it is released as often."""
        with self._lock:
            self._held[t] += 1

    def release(self, t: int) -> None:
        """Let frame `t` follow its versions again, unless it is still held."""
        with self._lock:
            self._held -= Counter([t])

    def is_held(self, t: int) -> bool:
        """Return whether frame `t` stays as it is."""
        return t in self._held

    @property
    def held_versions(self) -> frozenset[str]:
        """The versions that held frames show."""
        with self._lock:
            return frozenset(self.shown[t] for t in self._held if t in self.shown)

    def show(self, t: int, version: str | None, labels: NDArray[np.uint16]) -> None:
        """Write a version of frame `t`, unless it is held.

        Parameters
        ----------
        t
            Frame index.
        version
            Its name; None for a frame without one.
        labels
            Its (Y, X) labels.

        Raises
        ------
        StoreError
            If it can't be written; the frame is then `stale`.
        """
        self.stale.add(t)
        with self._lock:
            if t in self._held:
                return
            self.shown.pop(t, None)
            if version is not None:
                self.shown[t] = version
            self._write(t, labels)
        self.stale.discard(t)

    def _write(self, t: int, labels: NDArray[np.uint16]) -> None:
        with reported(self._path, "write"):
            self.array[t] = labels

    def repair(self, t: int, labels: NDArray[np.uint16]) -> bool:
        """Write frame `t` again if it isn't `labels`; return whether it was so."""
        try:
            right = np.array_equal(np.asarray(self.array[t]), labels)
        except (OSError, ValueError, RuntimeError):  # a torn chunk, whatever its codec says
            right = False
        if not right:
            self._write(t, labels)
        return not right


def _create(path: Path, shape: tuple[int, int, int]) -> None:
    # Beside, then renamed: whoever is killed here leaves no half array.
    partial = path.with_name(f"{path.name}.partial")
    zarr.create_array(
        partial,
        shape=shape,
        chunks=(1, *shape[1:]),
        dtype=np.uint16,
        fill_value=0,
        dimension_names=("t", "y", "x"),
        overwrite=True,
    )
    partial.rename(path)


def _open(path: Path) -> zarr.Array[Any]:
    try:
        return zarr.open_array(path, mode="r+")
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"'{path}' is damaged ({error}). {_ADVICE}") from error

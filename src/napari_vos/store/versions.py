"""Versions of frames on disk: written once, never changed, kept for undo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from napari_vos.store.cache import ByteCache
from napari_vos.store.files import read_arrays, reported, write_arrays
from napari_vos.store.record import (
    FrameIndex,
    FrameRecord,
    pack_record,
    unpack_index,
    unpack_objects,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_vos.store.evidence import ObjectEvidence

_OBJECTS_BYTES = 32 * 2**20
_INDEX_BYTES = 32 * 2**20
_LABELS_BYTES = 32 * 2**20
_BYTES_PER_ENTRY = 250


class VersionStore:
    """Frame records in a folder, one file per version.

    A version is named `TTTTTT-NNNNNN`, the frame and a running number. Evidence
    that was lately written or read stays in memory, in the very bits of the
    file: whether it is read from disk or from here makes no difference.

    Parameters
    ----------
    folder
        Where the files lie; it exists.
    durable
        Wait for the disk with each version; see `files.write_arrays`.
    """

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self._folder, self._durable = folder, durable
        self._objects: ByteCache[Mapping[int, ObjectEvidence]] = ByteCache(_OBJECTS_BYTES)
        self._labels: ByteCache[NDArray[np.uint16]] = ByteCache(_LABELS_BYTES)
        self._indices: ByteCache[FrameIndex] = ByteCache(_INDEX_BYTES)
        with reported(folder, "read"):
            self._sizes = {path.stem: path.stat().st_size for path in folder.glob("*.npz")}
        self._next = 1 + max((int(name.split("-")[1]) for name in self._sizes), default=0)

    def write(self, t: int, record: FrameRecord) -> str:
        """Write a new version of frame `t` and return its name.

        Raises
        ------
        StoreError
            If the file can't be written; nothing is left behind.
        """
        name = f"{t:06d}-{self._next:06d}"
        arrays = pack_record(record)
        self._sizes[name] = write_arrays(self._path(name), arrays, durable=self._durable)
        self._next += 1
        self._keep_labels(name, arrays["labels"].copy())
        index = self._keep_index(name, unpack_index(t, arrays))
        self._keep_objects(name, index, arrays["probability"])
        return name

    def labels(self, name: str) -> NDArray[np.uint16]:
        """Return the (Y, X) uint16 labels of a version, read-only."""
        found = self._labels.get(name)
        if found is None:
            found = self._keep_labels(name, self._read(name, "labels")["labels"])
        return found

    def index(self, name: str) -> FrameIndex:
        """Return what is known of the objects of a version without reading their windows."""
        found = self._indices.get(name)
        if found is None:
            t = int(name.split("-")[0])
            found = self._keep_index(name, unpack_index(t, self._read(name, "index")))
        return found

    def objects(self, name: str) -> Mapping[int, ObjectEvidence]:
        """Return the evidence of a version by object id."""
        found = self._objects.get(name)
        if found is None:
            probability = self._read(name, "probability")["probability"]
            found = self._keep_objects(name, self.index(name), probability)
        return found

    @property
    def names(self) -> frozenset[str]:
        """All versions there are."""
        return frozenset(self._sizes)

    def size(self, names: Iterable[str]) -> int:
        """Return the bytes that these versions take on disk."""
        return sum(self._sizes[name] for name in names if name in self._sizes)

    def delete(self, names: Iterable[str]) -> None:
        """Delete versions."""
        for name in names:
            with reported(self._path(name), "delete"):
                self._path(name).unlink(missing_ok=True)
            self._sizes.pop(name, None)
            self._labels.drop(name)
            self._objects.drop(name)
            self._indices.drop(name)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.npz"

    def _read(self, name: str, prefix: str) -> dict[str, NDArray[np.generic]]:
        return read_arrays(self._path(name), prefix)

    def _keep_labels(self, name: str, array: NDArray[np.generic]) -> NDArray[np.uint16]:
        labels = array.astype(np.uint16, copy=False)
        labels.setflags(write=False)
        self._labels.put(name, labels, labels.nbytes)
        return labels

    def _keep_index(self, name: str, index: FrameIndex) -> FrameIndex:
        n_rows = 1 + len(index.entries) + len(index.events)
        self._indices.put(name, index, n_rows * _BYTES_PER_ENTRY)
        return index

    def _keep_objects(
        self, name: str, index: FrameIndex, probability: NDArray[np.generic]
    ) -> Mapping[int, ObjectEvidence]:
        objects = unpack_objects(index, probability.astype(np.float16, copy=False))
        self._objects.put(name, objects, probability.nbytes)
        return objects

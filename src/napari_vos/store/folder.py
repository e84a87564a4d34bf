"""A session's folder and what lies where in it.

::

    session.json         format, shape, axes, where the images are and lie, the settings
    journal.jsonl        one line per action, round and frame
    prompts/SHA256.npz   what the user painted, by content
    frames/T-N.npz       versions of frames: labels, evidence, events
    states/LEG/T.npz     what an engine needs to go on from a frame
    weights/             weights adapted to the images
    labels.zarr          the current labels, one chunk per frame
    lock                 who writes here
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from napari_vos.errors import StoreError
from napari_vos.store.files import read_arrays, reported, write_arrays, write_file
from napari_vos.store.journal import Journal
from napari_vos.store.lock import FolderLock
from napari_vos.store.mirror import LabelMirror
from napari_vos.store.versions import VersionStore

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1
"""Version of the folder's layout."""

_SUBFOLDERS = ("prompts", "frames", "states")


class SessionFolder:
    """The files of one session, opened for reading and writing.

    Use `create` or `open`.
    """

    def __init__(self, path: Path, *, temporary: bool, read_only: bool) -> None:
        self.path = path
        self.temporary = temporary
        self.about = read_about(path)
        """What session.json says."""
        self._lock = None if read_only else FolderLock(path / "lock")
        try:
            # A temporary folder goes with the session: nothing in it outlasts a loss of power.
            self._durable = not temporary
            self.journal = Journal(
                path / "journal.jsonl", read_only=read_only, durable=self._durable
            )
            if not read_only:
                with reported(path, "make"):
                    for name in _SUBFOLDERS:
                        (path / name).mkdir(exist_ok=True)
                for leftover in path.rglob("*.tmp"):
                    leftover.unlink(missing_ok=True)
            self.versions = VersionStore(path / "frames", durable=self._durable)
            frames = self.about["frames"]
            shape = (frames["n_frames"], *frames["shape"])
            self.mirror = None if read_only else LabelMirror(path / "labels.zarr", shape)
        except StoreError:
            if self._lock is not None:
                self._lock.release(closed=False)
            raise

    @classmethod
    def create(cls, path: Path | None, about: Mapping[str, object]) -> Self:
        """Make a new session folder; a temporary one if `path` is None.

        Raises
        ------
        StoreError
            If the folder can't be made or isn't empty.
        """
        temporary = path is None
        if path is None:
            path = Path(tempfile.mkdtemp(prefix="napari-vos-"))
        with reported(path, "make"):
            path.mkdir(parents=True, exist_ok=True)
            if (path / "session.json").exists():
                raise StoreError(
                    f"'{path}' holds a session already. Open it with Session.load, or name "
                    "another folder."
                )
            # A program that was killed while it wrote session.json leaves a .tmp alone.
            if any(entry.suffix != ".tmp" for entry in path.iterdir()):
                raise StoreError(f"'{path}' isn't empty. Name a new or an empty folder.")
        _write_about(path, {**about, "format": FORMAT})
        folder = cls(path, temporary=temporary, read_only=False)
        if temporary:
            weakref.finalize(folder, shutil.rmtree, path, ignore_errors=True)
        return folder

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Self:
        """Open a session folder.

        Raises
        ------
        StoreError
            If there is no session in it, it is open elsewhere, damaged, or of
            a newer version.
        """
        return cls(path, temporary=False, read_only=read_only)

    @property
    def was_closed(self) -> bool:
        """Whether the last session in this folder was closed properly."""
        return self._lock is None or self._lock.was_closed

    def describe(self, **fields: object) -> None:
        """Change what session.json says."""
        _write_about(self.path, {**self.about, **fields})
        self.about.update(fields)

    def write_prompt(self, labels: NDArray[np.uint16]) -> str:
        """Keep what the user painted, (Y, X) uint16, and return its SHA-256."""
        content = f"{labels.shape}{labels.dtype.str}".encode() + labels.tobytes()
        digest = hashlib.sha256(content).hexdigest()
        path = self.path / "prompts" / f"{digest}.npz"
        if not path.exists():
            write_arrays(path, {"labels": labels})
        return digest

    def read_prompt(self, digest: str) -> NDArray[np.uint16]:
        """Return the labels that `write_prompt` kept."""
        labels = read_arrays(self.path / "prompts" / f"{digest}.npz")["labels"]
        return labels.astype(np.uint16, copy=False)

    def write_weights(self, name: str, content: bytes) -> Path:
        """Keep weights that were adapted to the images, and return their file."""
        path = self.path / "weights" / f"{name}.safetensors"
        with reported(path, "make"):
            path.parent.mkdir(exist_ok=True)
        write_file(path, content)
        return path

    def write_state(self, leg: str, t: int, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Keep the engine's state after frame `t` of a leg."""
        path = self.path / "states" / leg
        with reported(path, "make"):
            path.mkdir(exist_ok=True)
        write_arrays(path / f"{t:06d}.npz", state, durable=self._durable)

    def read_state(self, leg: str, t: int) -> dict[str, NDArray[np.generic]] | None:
        """Return the engine's state after frame `t` of a leg; None if there is none."""
        path = self.path / "states" / leg / f"{t:06d}.npz"
        return read_arrays(path) if path.exists() else None

    def keep_states(self, legs: frozenset[str]) -> None:
        """Delete the states of all legs but these."""
        path = self.path / "states"
        with reported(path, "delete"):
            for leg in path.iterdir():
                if leg.name not in legs:
                    shutil.rmtree(leg)

    def copy_to(self, target: Path) -> None:
        """Copy the session to the folder `target`.

        An earlier copy of the same session there is replaced.

        Raises
        ------
        StoreError
            If `target` holds anything else, or can't be written.
        """
        with reported(target, "write"):
            if target.exists() and any(target.iterdir()):
                there = read_about(target)
                if there["id"] != self.about["id"] or target.samefile(self.path):
                    raise StoreError(
                        f"'{target}' holds another session. Name a new or an empty folder."
                    )
                # Nobody may be writing the copy that is about to be replaced.
                FolderLock(target / "lock").release()
            partial = target.with_name(f"{target.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(self.path, partial, ignore=shutil.ignore_patterns("lock", "*.tmp"))
            if target.exists():
                shutil.rmtree(target)
            partial.rename(target)

    def close(self) -> None:
        """Release the folder; a temporary one is deleted."""
        if self._lock is not None:
            self._lock.release(closed=self.mirror is None or self.mirror.is_true)
            self._lock = None
        if self.temporary:
            shutil.rmtree(self.path, ignore_errors=True)


def _write_about(path: Path, about: Mapping[str, object]) -> None:
    write_file(path / "session.json", json.dumps(about, indent=1).encode())


def read_about(path: Path) -> dict[str, Any]:
    """Return what session.json in the folder `path` says.

    Raises
    ------
    StoreError
        If it isn't there, is damaged, or of a newer version.
    """
    file = path / "session.json"
    if not file.is_file():
        raise StoreError(f"There is no session in '{path}': it has no session.json.")
    with reported(file, "read"):
        try:
            about = json.loads(file.read_text())
            version = about["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"'{file}' is damaged ({error}). Restore it from a copy of the session."
            ) from error
    if version != FORMAT:
        raise StoreError(
            f"'{path}' has the session format {version}; this version of napari-vos reads "
            f"{FORMAT}. Update napari-vos."
        )
    return cast("dict[str, Any]", about)

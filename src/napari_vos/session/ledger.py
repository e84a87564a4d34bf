"""A session's files and its history, changed together or not at all.

Whatever changes goes the same way: versions are written to files, one line of
the journal makes them count, and the labels that are shown follow. A crash
between any two bytes leaves the session before the line or after it.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_vos.errors import StoreError
from napari_vos.session.history import History
from napari_vos.store.record import FrameIndex

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_vos.session.history import Unit
    from napari_vos.store.evidence import ObjectEvidence
    from napari_vos.store.folder import SessionFolder
    from napari_vos.store.journal import Line
    from napari_vos.store.record import Event, FrameRecord

_NOTHING = FrameIndex({}, ())


class Ledger:
    """Reads and changes a session.

    Every method may be called from any thread.

    Parameters
    ----------
    folder
        The session's folder.
    undo_bytes
        How many bytes the versions kept for undo may take.
    """

    def __init__(self, folder: SessionFolder, *, undo_bytes: int) -> None:
        self.folder = folder
        self.history = History(folder.journal.lines)
        self._undo_bytes = undo_bytes
        self._mutex = threading.RLock()
        frames = folder.about["frames"]
        self.n_frames: int = frames["n_frames"]
        self.shape: tuple[int, int] = (frames["shape"][0], frames["shape"][1])
        if folder.mirror is not None:
            folder.mirror.shown = dict(self.history.state.versions)
            self._collect()
            if folder.mirror.is_new or not folder.was_closed:
                self._repair()

    def index(self, t: int) -> FrameIndex:
        """Return the current entries and events of frame `t`."""
        with self._mutex:
            version = self._version(t)
            return _NOTHING if version is None else self.folder.versions.index(version)

    def objects(self, t: int) -> Mapping[int, ObjectEvidence]:
        """Return the current evidence of frame `t` by object id."""
        return self.read(t)[0]

    def read(self, t: int) -> tuple[Mapping[int, ObjectEvidence], tuple[Event, ...]]:
        """Return the current evidence and events of frame `t`."""
        with self._mutex:
            return self.read_version(self._version(t))

    def read_version(
        self, version: str | None
    ) -> tuple[Mapping[int, ObjectEvidence], tuple[Event, ...]]:
        """Return the evidence and events of a version that is kept; nothing for None."""
        with self._mutex:
            if version is None:
                return {}, ()
            versions = self.folder.versions
            return versions.objects(version), versions.index(version).events

    def labels(self, t: int) -> NDArray[np.uint16]:
        """Return the current (Y, X) uint16 labels of frame `t`."""
        with self._mutex:
            return self._labels_of(self._version(t))

    def latest_frames(self) -> tuple[int, ...]:
        """Return the frames that have another version than before the latest step, ascending."""
        with self._mutex:
            if not self.history.done:
                return ()
            before, now = self.history.done[-1].before.versions, self.history.state.versions
            return tuple(sorted(t for t in now if before.get(t) != now[t]))

    def latest_change(self, t: int) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """Return the (Y, X) uint16 labels of frame `t` before the latest step, and now."""
        with self._mutex:
            now, version = self.labels(t), self._version(t)
            before = self._undo_version(t) if self.history.done else version
            return (now if before == version else self._labels_of(before)), now

    def hold(self, t: int) -> None:
        """Let the labels of frame `t` that are shown stay.

        Until it is released as often, changes of the frame aren't shown. Nothing is read
        here, and no work on the session is waited for.
        """
        if self.folder.mirror is not None:
            self.folder.mirror.hold(t)

    def shown_labels(self, t: int) -> NDArray[np.uint16]:
        """Return the labels of frame `t` that were shown last: since it is held, or now."""
        with self._mutex:
            mirror = self.folder.mirror
            return self._labels_of(self._version(t) if mirror is None else mirror.shown.get(t))

    def release(self, t: int) -> None:
        """Show the current labels of frame `t` again, unless it is still held."""
        mirror = self.folder.mirror
        if mirror is not None:
            mirror.release(t)
            if not mirror.is_held(t):
                with self._mutex:
                    mirror.show(t, self._version(t), self.labels(t))

    def state(self, leg: str, t: int) -> Mapping[str, NDArray[np.generic]]:
        """Return the engine's state after frame `t` of a leg or of one it continues."""
        with self._mutex:
            for name in self.history.line_of(leg):
                found = self.folder.read_state(name, t)
                if found is not None:
                    return found
            return {}

    def commit(
        self, action: str, records: Mapping[int, FrameRecord], **fields: Any
    ) -> frozenset[int]:
        """Do an action that can be undone; return the frames it changes.

        Parameters
        ----------
        action
            Its name in the journal.
        records
            The new records of frames.
        fields
            What its line says beside.

        Raises
        ------
        StoreError
            If the disk refuses; nothing has happened then.
        """
        with self._mutex:
            written: dict[int, str] = {}
            try:
                for t, record in records.items():
                    written[t] = self.folder.versions.write(t, record)
                named = {"versions": {str(t): name for t, name in written.items()}}
                line = self.folder.journal.append(action, **fields, **(named if written else {}))
            except StoreError:
                self._discard(written)
                raise
            changed = self._apply(line)
            self._collect()
            return changed

    def note(self, action: str, **fields: Any) -> frozenset[int]:
        """Write a line that brings no new versions; return the frames it changes."""
        with self._mutex:
            changed = self._apply(self.folder.journal.append(action, **fields))
            self._collect()
            return changed

    def write_frame(
        self,
        leg: int,
        t: int,
        record: FrameRecord | None,
        *,
        state: Mapping[str, NDArray[np.generic]],
        ends: Mapping[int, str],
        spared: Collection[int] = (),
    ) -> frozenset[int]:
        """Write a finished frame of the round in work; return the frames it changes.

        Parameters
        ----------
        leg
            Index of the leg in the round.
        t
            Frame index.
        record
            What is believed now; None if nothing has changed.
        state
            What the engine needs to go on from here.
        ends
            Reasons by object id.
        spared
            Objects that the leg has left as they were, from this frame on or before.
        """
        with self._mutex:
            current = self.history.latest_round
            replaced = self._version(t)
            written: dict[int, str] = {}
            try:
                if state:
                    self.folder.write_state(current.name(leg), t, state)
                if record is not None:
                    written[t] = self.folder.versions.write(t, record)
                line = self.folder.journal.append(
                    "frame",
                    round=current.n,
                    leg=leg,
                    t=t,
                    version=written.get(t),
                    ends={str(object_id): reason for object_id, reason in ends.items()},
                    **({"spared": sorted(spared)} if spared else {}),
                )
            except StoreError:
                self._discard(written)
                raise
            changed = self._apply(line)
            needed = {current.before.get(t), self._undo_version(t), *self._held_versions()}
            if written and replaced is not None and replaced not in needed:
                self.folder.versions.delete([replaced])
            return changed

    def steps_over_budget(self) -> list[Unit]:
        """Return the oldest steps whose versions take more than may be kept.

        The latest step is never among them.
        """
        with self._mutex:
            history, versions = self.history, self.folder.versions
            current = set(history.state.versions.values())
            excess = versions.size(history.kept_versions() - current) - self._undo_bytes
            steps: list[Unit] = []
            for unit in history.done[:-1]:
                if excess <= 0:
                    break
                after = set(unit.after.versions.values())
                steps.append(unit)
                excess -= versions.size(set(unit.before.versions.values()) - after - current)
            return steps

    def close(self) -> None:
        """Release the folder."""
        with self._mutex:
            self.folder.close()

    def copy_to(self, target: Path) -> None:
        """Copy the folder as it is between two lines."""
        with self._mutex:
            self.folder.copy_to(target)

    def _apply(self, line: Line) -> frozenset[int]:
        changed = self.history.apply(line)
        mirror = self.folder.mirror
        if mirror is not None:
            mirror.stale |= changed
            for t in sorted(mirror.stale):
                if not mirror.is_held(t):
                    mirror.show(t, self._version(t), self.labels(t))
        return changed

    def _labels_of(self, version: str | None) -> NDArray[np.uint16]:
        if version is None:
            return np.zeros(self.shape, np.uint16)
        return self.folder.versions.labels(version)

    def _version(self, t: int) -> str | None:
        return self.history.state.versions.get(t)

    def _undo_version(self, t: int) -> str | None:
        return self.history.done[-1].before.versions.get(t)

    def _discard(self, written: Mapping[int, str]) -> None:
        # The folder is cleared again when it is opened.
        with suppress(StoreError):
            self.folder.versions.delete(written.values())

    def _held_versions(self) -> frozenset[str]:
        mirror = self.folder.mirror
        return frozenset() if mirror is None else mirror.held_versions

    def _collect(self) -> None:
        """Delete what neither the state nor undo nor redo nor a held frame needs."""
        versions = self.folder.versions
        versions.delete(versions.names - self.history.kept_versions() - self._held_versions())
        self.folder.keep_states(self.history.kept_legs())

    def _repair(self) -> None:
        """Bring the labels that are shown to what the versions say."""
        mirror = self.folder.mirror
        if mirror is not None:
            for t in range(self.n_frames):
                mirror.repair(t, self.labels(t))

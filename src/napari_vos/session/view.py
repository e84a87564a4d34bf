"""What can be read of a session."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_vos.errors import PromptError, StoreError
from napari_vos.io import Judgement, ObjectRow, object_table, write_labels, write_table
from napari_vos.session.attention import END_DOUBTS, doubt_left, worth_by_frame
from napari_vos.session.changes import Changes, FrameChange, changes_of_latest_step
from napari_vos.session.marks import MarkKind, object_ids
from napari_vos.session.merge import cut_window
from napari_vos.store.evidence import Box, Source

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import zarr
    from numpy.typing import NDArray

    from napari_vos.session.ledger import Ledger
    from napari_vos.store.record import Event


class FrameSummary(NamedTuple):
    """What is known of one frame.

    Attributes
    ----------
    confidence
        Expected Jaccard index in [0, 1] by object id; 1 for the user's own.
    ended
        The objects that are gone from this frame on.
    """

    confidence: dict[int, float]
    ended: tuple[int, ...]


class SessionView:
    """The results of a session and what the user has said, for reading.

    May be read from any thread, also while a round runs.

    Parameters
    ----------
    ledger
        The session's files and history.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @property
    def folder(self) -> Path:
        """Where the session is kept."""
        return self._ledger.folder.path

    @property
    def labels(self) -> zarr.Array[Any]:
        """(T, Y, X) uint16 zarr array, one chunk per frame, for reading and showing.

        What is written into it is not a prompt, and is overwritten by results unless
        the frame is held.
        """
        mirror = self._ledger.folder.mirror
        if mirror is None:
            raise StoreError(f"The session '{self.folder}' was opened for reading alone.")
        return mirror.array

    def hold_labels(self, t: int) -> None:
        """Let frame `t` of `labels` stay as it is, while it is painted.

        What the session holds of it still changes, and is shown when the frame was
        released as often as it was held. Nothing is read and no run is waited for: it may
        be called where a user mustn't wait.

        Raises
        ------
        PromptError
            If `t` lies outside the stack.
        """
        self._ledger.hold(self._check_frame(t))

    def shown_labels(self, t: int) -> NDArray[np.uint16]:
        """Return what the session has shown of frame `t` of `labels` last, (Y, X).

        Of a held frame that is what it was when it was held, without what was painted since.

        Raises
        ------
        PromptError
            If `t` lies outside the stack.
        """
        return self._ledger.shown_labels(self._check_frame(t))

    def release_labels(self, t: int) -> None:
        """Show what the session holds of frame `t` again; see `hold_labels`."""
        self._ledger.release(self._check_frame(t))

    @property
    def confidence(self) -> dict[tuple[int, int], float]:
        """Expected Jaccard index in [0, 1] by (t, object id); 1 for the user's own."""
        return {
            (t, object_id): entry.confidence
            for t in range(self._ledger.n_frames)
            for object_id, entry in self._ledger.index(t).entries.items()
        }

    def frame_summary(self, t: int) -> FrameSummary:
        """Return what is known of one frame, without reading its masks.

        Raises
        ------
        PromptError
            If `t` lies outside the stack.
        """
        found = self._ledger.index(self._check_frame(t))
        ended = tuple(event.object_id for event in found.events if event.direction == 1)
        return FrameSummary({i: entry.confidence for i, entry in found.entries.items()}, ended)

    def next_frame(self, *, skip: Collection[int] = ()) -> int | None:
        """Return the frame on which a correction is worth most.

        That is where the masks of several objects are doubtful, as they are on the frames
        around, far from the frames on which the user has marked these objects, has accepted
        them, or has marked others and let them pass; see `worth_by_frame`. An object that
        has ended may have been lost. What the user has marked or accepted is in no doubt.

        Parameters
        ----------
        skip
            Frames that were looked at already.

        Returns
        -------
        int or None
            The frame; None if nothing is in doubt.
        """
        accepted = self._ledger.history.state.locks
        doubts = {key: 1 - confidence for key, confidence in self.confidence.items()}
        user_frames = {i: self.user_frames(i) for i in self.object_ids}
        for event in self.ends:
            i, last = event.object_id, self._ledger.n_frames
            until = min((t for t in user_frames.get(i, ()) if t >= event.t), default=last)
            for t in range(event.t, until):
                doubts.setdefault((t, i), END_DOUBTS[event.reason])
        marked = set(self.user_frames())
        passed = {
            i: (marked | {t for t, ids in accepted.items() if {0, i} & ids}).difference(own)
            for i, own in user_frames.items()
        }
        doubts = {
            (t, i): doubt * doubt_left(t, passed[i])
            for (t, i), doubt in doubts.items()
            if doubt > 0 and i in user_frames and not {0, i} & accepted.get(t, frozenset())
        }
        worth = worth_by_frame(doubts, user_frames)
        return max(worth.keys() - set(skip), key=lambda t: (worth[t], -t), default=None)

    def changes(self) -> Changes:
        """Return what the latest step has changed: a round, or anything that can be undone.

        While a round runs, that is what it has changed so far. All changed frames are
        read: for a long stack in a thread of its own.
        """
        return changes_of_latest_step(self._ledger)

    def frame_change(self, t: int) -> FrameChange:
        """Return the labels of frame `t` before the latest step and after it.

        Raises
        ------
        PromptError
            If `t` lies outside the stack.
        """
        return FrameChange(*self._ledger.latest_change(self._check_frame(t)))

    def accepted(self, t: int) -> frozenset[int]:
        """Return the objects that are accepted on frame `t`; 0 among them is the background.

        Raises
        ------
        PromptError
            If `t` lies outside the stack.
        """
        return self._ledger.history.state.locked_ids(self._check_frame(t))

    def probability(
        self, t: int, object_id: int, window: Box | None = None
    ) -> tuple[NDArray[np.float16], Box]:
        """Return what is believed of an object on a frame.

        Parameters
        ----------
        t
            Frame index.
        object_id
            The object.
        window
            Where to look; None for the window that is stored, which is empty if
            the object isn't there.

        Returns
        -------
        probability
            (height, width) of the box, float16 in [0, 1].
        box
            Where it lies on the frame.

        Raises
        ------
        PromptError
            If `t` lies outside the stack or the object isn't known.
        """
        self._check_frame(t)
        self._check_object(object_id)
        item = self._ledger.objects(t).get(object_id)
        box = window or (Box(0, 0, 0, 0) if item is None else item.box)
        return cut_window(item, box), box

    @property
    def object_ids(self) -> tuple[int, ...]:
        """All objects of the session, ascending."""
        return object_ids(self._ledger.history.state.marks)

    def user_frames(self, object_id: int | None = None) -> tuple[int, ...]:
        """Return the frames on which the user has marked an object, or any, ascending."""
        marks = self._ledger.history.state.marks.items()
        return tuple(
            sorted(
                {
                    t
                    for (t, i), mark in marks
                    if mark.kind is MarkKind.PRESENT
                    and object_id in (None, i)
                    and not self._is_detected(t, i)
                }
            )
        )

    @property
    def events(self) -> tuple[Event, ...]:
        """The events table: where objects end or begin, by frame."""
        return tuple(
            event for t in range(self._ledger.n_frames) for event in self._ledger.index(t).events
        )

    @property
    def ends(self) -> tuple[Event, ...]:
        """The events at which an object is gone from its frame on."""
        return tuple(event for event in self.events if event.direction == 1)

    def table(self) -> Iterator[ObjectRow]:
        """Yield a row for each object on each frame: area, centroid, confidence, source."""
        frames = range(self._ledger.n_frames)
        return object_table(
            (self._ledger.labels(t) for t in frames), (self._judgements(t) for t in frames)
        )

    def export_labels(self, path: str | Path) -> None:
        """Write the labels of all frames as TIFF or zarr, by the ending of `path`."""
        write_labels(path, self.labels)

    def export_table(self, path: str | Path) -> None:
        """Write `table` as CSV."""
        write_table(path, self.table())

    @property
    def can_undo(self) -> bool:
        """Whether there is something to undo."""
        return bool(self._ledger.history.done)

    @property
    def can_redo(self) -> bool:
        """Whether there is something to redo."""
        return bool(self._ledger.history.undone)

    def _judgements(self, t: int) -> dict[int, Judgement]:
        entries = self._ledger.index(t).entries
        return {i: Judgement(entry.confidence, str(entry.source)) for i, entry in entries.items()}

    def _is_detected(self, t: int, object_id: int) -> bool:
        entry = self._ledger.index(t).entries.get(object_id)
        return entry is not None and entry.source is Source.DETECTED

    def _check_frame(self, t: int) -> int:
        n_frames = self._ledger.n_frames
        if not 0 <= t < n_frames:
            name = self._ledger.folder.about["frames"]["name"]
            raise PromptError(
                f"Frame {t} is outside the stack '{name}' (0-{n_frames - 1}). Check that the "
                "prompts have the same time axis as the images."
            )
        return int(t)

    def _check_range(self, frames: tuple[int, int] | None) -> range:
        """Return the frames from the first to the last one; all if None."""
        first, last = frames or (0, self._ledger.n_frames - 1)
        chosen = range(self._check_frame(first), self._check_frame(last) + 1)
        if not chosen:
            raise PromptError(
                f"The range {first}-{last} holds no frame. Give the first and the last frame."
            )
        return chosen

    def _check_object(self, object_id: int) -> int:
        known = self.object_ids
        if object_id not in known:
            raise PromptError(
                f"There is no object {object_id} in this session. Its objects: "
                f"{', '.join(map(str, known[:20])) or 'none'}{' ...' if len(known) > 20 else ''}."
            )
        return int(object_id)

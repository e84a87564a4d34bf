"""What is known of each frame of a session, in arrays that are cheap to draw."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from napari_vos.session.attention import MOST_OBJECTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.session import Session


class Overview:
    """Follows a session, in whichever thread works on it; may be read from any.

    Parameters
    ----------
    session
        The session.

    Attributes
    ----------
    n_frames
        T.
    is_read
        Whether `read` was begun.
    confidence, lowest
        (T,) float32, mean of a frame's `MOST_OBJECTS` least certain objects, as many as count
        for the next frame to check, and the lowest; NaN where there is none.
    is_marked, is_accepted, has_end, is_pending
        (T,) bool: frames of the user, frames that are locked for all objects or
        for some, frames on which an object ends, and frames that the next round runs.
    """

    def __init__(self, session: Session) -> None:
        self.n_frames = int(session.labels.shape[0])
        self.confidence = np.full(self.n_frames, np.nan, np.float32)
        self.lowest = self.confidence.copy()
        self.is_marked, self.is_accepted, self.has_end, self.is_pending = (
            np.zeros(self.n_frames, np.bool_) for _ in range(4)
        )
        self._session = session
        self._lock = Lock()
        self.is_read = False
        session.frame_written.connect(self._note_frame)
        session.prompts_changed.connect(self._read_marks)
        session.round_finished.connect(self._read_marks)

    def read(self) -> Generator[None]:
        """Read what was there before it was opened, in a worker."""
        self.is_read = True
        self._read_marks()
        for t in range(self.n_frames):
            self._read_frame(t)
            if t % 50 == 49:
                yield

    def describe(self, t: int) -> str:
        """Return a line about a frame."""
        told = [f"Frame {t}"]
        if np.isnan(self.confidence[t]):
            told.append("no objects")
        else:
            told.append(f"least certain objects {self.confidence[t]:.2f}")
            told.append(f"lowest {self.lowest[t]:.2f}")
        notes = {
            "yours": self.is_marked,
            "accepted": self.is_accepted,
            "an object ends": self.has_end,
            "to be propagated": self.is_pending,
        }
        return ", ".join(told + [note for note, where in notes.items() if where[t]])

    def _note_frame(self, t: int) -> None:
        self._read_frame(t)
        self.is_pending[t] = False

    def _read_frame(self, t: int) -> None:
        # Two threads may read a frame at once: the one that comes later must see more.
        with self._lock:
            summary = self._session.frame_summary(t)
            worst = sorted(summary.confidence.values())[:MOST_OBJECTS]
            self.confidence[t] = np.mean(worst) if worst else np.nan
            self.lowest[t] = worst[0] if worst else np.nan
            self.has_end[t] = bool(summary.ended)

    def _read_marks(self) -> None:
        with self._lock:
            self.is_marked = self._where(self._session.user_frames())
            self.is_accepted = self._where(
                [t for t in range(self.n_frames) if self._session.accepted(t)]
            )
            self.is_pending = self._where(
                sorted({t for span in self._session.pending for t in span.frames})
            )

    def _where(self, frames: Sequence[int]) -> NDArray[np.bool_]:
        found = np.zeros(self.n_frames, np.bool_)
        found[list(frames)] = True
        return found

"""Who may work on a session: one at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from napari_vos.errors import NapariVosError


class Phase(StrEnum):
    """What a session is doing."""

    IDLE = "idle"
    CHANGING = "changing"
    RUNNING = "running"
    ADAPTING = "adapting"
    CLOSED = "closed"


_REFUSALS = {
    Phase.CHANGING: "Something else is being changed on '{}'. Try again.",
    Phase.RUNNING: "'{}' is being propagated. Cancel that, or wait for its end.",
    Phase.ADAPTING: "Weights are being adapted to '{}'. Cancel that, or wait for its end.",
    Phase.CLOSED: "The session on '{}' is closed. Load it again.",
}


class Turns:
    """Gives the turn to one piece of work, and refuses others meanwhile.

    Nobody waits: an action in the window must not hang until a round ends.

    Parameters
    ----------
    name
        What the session works on, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self.phase = Phase.IDLE

    def take(self, phase: Phase) -> None:
        """Take the turn.

        Raises
        ------
        NapariVosError
            If it isn't free.
        """
        with self._lock:
            if self.phase is not Phase.IDLE:
                raise NapariVosError(_REFUSALS[self.phase].format(self._name))
            self.phase = phase

    def give_back(self) -> None:
        """Give the turn back."""
        self.phase = Phase.IDLE

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the turn for a short change."""
        self.take(Phase.CHANGING)
        try:
            yield
        finally:
            self.give_back()

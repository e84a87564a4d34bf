"""How fast a run goes, and how long it will take."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_vos.session import Progress


class Pace:
    """Frames per second and time left.

    Parameters
    ----------
    clock
        Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._first: int | None = None

    def describe(self, progress: Progress) -> str:
        """Return a line such as "7 of 30 frames, 4.1 frames/s, 6 s left"."""
        if self._first is None:
            # A resumed run has done frames that say nothing about the pace.
            self._first = progress.n_done - 1
        elapsed = max(self._clock() - self._started, 1e-6)
        rate = (progress.n_done - self._first) / elapsed
        speed = f"{rate:.1f} frames/s" if rate >= 1 else f"{1 / rate:.1f} s/frame"
        left = (progress.n_total - progress.n_done) / rate
        return f"{progress.n_done} of {progress.n_total} frames, {speed}, {_duration(left)} left"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

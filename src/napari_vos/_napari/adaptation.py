"""Adapting weights in the background of a window."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_vos._napari.job import Job, OpenSessions
    from napari_vos.session import AdaptOutcome
    from napari_vos.training.adapt import AdaptProgress


@dataclass(eq=False)
class AdaptJob:
    """Adapt the weights of an engine to its session.

    Attributes
    ----------
    sessions
        Those of the window.
    job
        Says which session, with which engine, and what was painted.
    minutes
        How long.
    outcome
        What has come of it; None until then, and if it has failed before it began.
    """

    sessions: OpenSessions
    job: Job
    minutes: float
    outcome: AdaptOutcome | None = None

    def run(self) -> Generator[AdaptProgress]:
        """Do it in a worker: yield the progress of each step.

        Raises
        ------
        NapariVosError
            If anything of it can't be used.
        """
        with self.sessions.told(self.job) as session:
            try:
                with closing(session.adapt(minutes=self.minutes)) as steps:
                    yield from steps
            finally:
                self.outcome = session.adapted

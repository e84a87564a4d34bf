"""What a window does with its sessions: one thing at a time, and what comes next."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_vos._napari.background import Background
from napari_vos._napari.corrections import Corrections
from napari_vos._napari.job import DrawJob, Job, OpenSessions
from napari_vos._napari.notify import told
from napari_vos._napari.preparation import prepare
from napari_vos._napari.run import Outcome, Run
from napari_vos.session import Finish

if TYPE_CHECKING:
    from pathlib import Path

    from napari.components import ViewerModel

    from napari_vos._napari.job import EngineOptions
    from napari_vos._napari.painted import Painted
    from napari_vos._napari.snapshot import ImageSnapshot
    from napari_vos.session import Session

Then = Callable[[Finish], None]
"""What to do when something has ended, with how it has."""


class Desk:
    """Begins runs, and what waits for their end. Main thread only.

    What is drawn while masks are made takes their place. What is drawn, and another
    propagation, while one is going on stops that one: what is left of it is planned
    anew afterwards. Before anything else a session is told what was painted on its
    results.

    Parameters
    ----------
    viewer
        The window.

    Attributes
    ----------
    sessions
        Those that were opened here.
    corrections
        What is painted on their results.
    """

    begun: ClassVar[Signal] = Signal(Run, str)
    """A run, and what to say of it."""
    ended: ClassVar[Signal] = Signal(Finish, str)
    """How it has ended, and what to say if it is completed."""

    def __init__(self, viewer: ViewerModel) -> None:
        self.sessions = OpenSessions()
        self.corrections = Corrections(viewer, self.sessions.at)
        self.follow = False
        self.run: Run | None = None
        self._viewer = viewer
        self._prepared: dict[EngineOptions, Background] = {}
        self._job: Job | DrawJob | None = None
        self._taken: tuple[Path | None, dict[int, Painted]] = None, {}
        self._waiting: dict[str, Callable[[], None]] = {}

    @property
    def is_running(self) -> bool:
        """Whether something is going on."""
        return self.run is not None and self.run.is_running

    @property
    def is_propagating(self) -> bool:
        """Whether masks are being carried through time."""
        return self.is_running and isinstance(self._job, Job)

    @property
    def is_busy(self) -> bool:
        """Whether something is going on, or will be in a moment."""
        return self.is_running or bool(self._waiting)

    def propagate(self, job: Job) -> None:
        """Propagate now, or instead of what is being propagated."""
        if self.is_running:
            self._stop_propagating()
            self._waiting["propagate"] = partial(self.propagate, job)
            return
        job = replace(job, corrections=self._take(self._folder_of(job)))
        work = partial(self.sessions.run, job)
        self._begin(job, job.image, work, "Preparing…", "Done.", _nothing)

    def with_corrections(self, job: Job) -> Job:
        """Return a job with what was painted on the results of its session and isn't told yet."""
        return replace(job, corrections=self.corrections.take(self._folder_of(job)))

    def draw(self, read: Callable[[], tuple[DrawJob, Then]]) -> None:
        """Make masks as soon as possible; nothing is begun if nothing is drawn.

        Not before the event that asks for it has ended: a layer tells of some strokes
        before it has changed.

        Parameters
        ----------
        read
            Returns what is drawn when it is begun, and what to do then.
        """
        if self.is_running:
            if isinstance(self._job, DrawJob):
                self._job.superseded.set()
            elif isinstance(self._job, Job):
                rest = replace(self._job, prompts=None)
                self._waiting.setdefault("propagate", partial(self.propagate, rest))
                self._stop_propagating()
        else:
            QTimer.singleShot(0, self._go_on)
        self._waiting["draw"] = partial(self._draw, read)

    def _draw(self, read: Callable[[], tuple[DrawJob, Then]]) -> None:
        job, then = read()
        job = replace(job, corrections=self._take(self._folder_of(job)))
        if job.drawings or job.corrections:
            work = partial(self.sessions.draw, job)
            self._begin(job, job.image, work, "Making masks…", "Masks made.", then)

    def prepare(self, interactor: EngineOptions) -> None:
        """Load what makes masks, unless that was done; the first stroke needn't wait then."""
        if interactor not in self._prepared:
            self._prepared[interactor] = Background(partial(prepare, interactor))

    def step(
        self,
        image: ImageSnapshot,
        session: Session,
        action: Callable[[Session], object],
        *,
        done: str,
        then: Then,
    ) -> None:
        """Do one thing with a session that is open, if nothing else is going on."""
        if not self.is_running:
            work = partial(self.sessions.step, session, action, self._take(session.folder))
            self._begin(None, image, work, "Working…", done, then)

    def show(self, job: Job) -> None:
        """Open a session, if nothing else is going on."""
        if not self.is_running:
            work = partial(self.sessions.show, job)
            self._begin(None, job.image, work, "Opening…", "Session opened.", _nothing)

    def line_up(self, call: Callable[[], None]) -> None:
        """Let something propagate afterwards."""
        self._waiting.setdefault("propagate", call)

    def cancel(self) -> None:
        """Stop what is going on, and propagate nothing afterwards."""
        self._waiting.pop("propagate", None)
        if isinstance(self._job, DrawJob):
            self._job.superseded.set()
        if self.run is not None:
            self.run.cancel()

    def leave(self) -> None:
        """Hear no more of what is going on; sessions are released when that has ended."""
        self._waiting.clear()
        if self.run is not None:
            run = self.run
            for signal in (run.opened, run.estimated, run.progressed, run.changed, run.finished):
                signal.disconnect()
        self.sessions.close(self.corrections.leave())

    def _folder_of(self, job: Job | DrawJob) -> Path | None:
        session = self.sessions.find(job.image, job.folder)
        return job.folder if session is None else session.folder

    def _take(self, folder: Path | None) -> dict[int, Painted]:
        """Return what was painted, for what begins now; what it doesn't tell is put back."""
        self._taken = folder, self.corrections.take(folder)
        return self._taken[1]

    def _stop_propagating(self) -> None:
        if self.run is not None and self.is_propagating:
            self.run.cancel()

    def _begin(
        self,
        job: Job | DrawJob | None,
        image: ImageSnapshot,
        work: Callable[[], Generator[Outcome]],
        now: str,
        done: str,
        then: Then,
    ) -> None:
        self._job = job
        self.run = Run(self._viewer, image, work, follow=self.follow, is_heard=True)
        self.run.finished.connect(partial(self._end, done, then))
        self.begun.emit(self.run, now)

    def _end(self, done: str, then: Then, finish: Finish) -> None:
        job, self._job = self._job, None
        if finish is Finish.FAILED and not isinstance(job, DrawJob):
            # What masks have interrupted goes on.
            self._waiting.pop("propagate", None)
        self.corrections.put_back(*self._taken)
        if isinstance(job, Job) and self.run is not None and self.run.latest is None:
            done = "Nothing was left to propagate."
        self.ended.emit(finish, done)
        then(finish)
        QTimer.singleShot(0, self._go_on)

    def _go_on(self) -> None:
        for name in ("draw", "propagate"):
            if name in self._waiting and not self.is_running:
                with told():
                    self._waiting.pop(name)()


def _nothing(_: Finish) -> None:
    pass

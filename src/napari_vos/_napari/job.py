"""A press of the Propagate button, frozen, and the work it means."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_vos._napari.folders import is_session, new_folder
from napari_vos._napari.overview import Overview
from napari_vos._napari.painted import tell_painted
from napari_vos._napari.placement import describe_placement
from napari_vos._napari.settings import memory_budget
from napari_vos.errors import NapariVosError, PromptError
from napari_vos.session import Changes, Progress, Session
from napari_vos.store.folder import read_about

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_vos._napari.drawing import FrameDrawing
    from napari_vos._napari.painted import Painted
    from napari_vos._napari.snapshot import ImageSnapshot, PromptSnapshot
    from napari_vos.session.engine import EngineChoice
    from napari_vos.session.spans import Direction

    Corrections = dict[int, Painted]
    """What the user has painted on results, by frame; what was told is taken out."""


@dataclass(frozen=True)
class EngineOptions:
    """The engine that was asked for, as `Session` takes it; or the interactor."""

    engine: str = "compact"
    config: object | None = None
    weights: str | Path | None = None
    device: str = "auto"
    precision: str = "auto"

    @classmethod
    def of(cls, choice: EngineChoice) -> EngineOptions:
        """Return what a session was asked for."""
        return cls(choice.name, choice.config, choice.weights, choice.device, choice.precision)


@dataclass(frozen=True, eq=False)
class Job:
    """What to propagate.

    Attributes
    ----------
    image, prompts
        The layers; no prompts to propagate what the session was told already.
    options
        The engine for what is propagated.
    frames
        First and last frame to predict; None for all.
    direction
        From the user's frames.
    folder
        The session's folder, new or not; None to go on with the open session on
        these images, or else to make one where the user keeps them.
    corrections
        What is painted on results and was told to nobody yet.
    """

    image: ImageSnapshot
    prompts: PromptSnapshot | None
    options: EngineOptions = EngineOptions()
    frames: tuple[int, int] | None = None
    direction: Direction = "both"
    folder: Path | None = None
    corrections: Corrections = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class DrawJob:
    """What to make masks of.

    Attributes
    ----------
    image
        The images.
    drawings
        What is drawn, by frame.
    interactor
        What makes the masks.
    options
        The engine of a session that is new.
    folder, corrections
        See `Job`.
    superseded
        Set it to drop the masks that aren't there yet: more was drawn, and all is
        taken anew.
    done
        Set when all masks are there.
    """

    image: ImageSnapshot
    drawings: Mapping[int, FrameDrawing]
    interactor: EngineOptions
    options: EngineOptions = EngineOptions()
    folder: Path | None = None
    corrections: Corrections = field(default_factory=dict)
    superseded: Event = field(default_factory=Event)
    done: Event = field(default_factory=Event)


class OpenSessions:
    """The sessions a window has opened; they go on from one job to the next."""

    def __init__(self) -> None:
        self._sessions: list[tuple[ImageSnapshot, Session]] = []
        self._overviews: dict[Path, Overview] = {}
        self._lock = Lock()
        self._n_running = 0
        self._is_closing = False
        self._untold: Mapping[Path, Corrections] = {}

    def run(self, job: Job) -> Generator[Session | Progress | Changes]:
        """Do a job in a worker: yield the session, the progress of each frame, the changes.

        Raises
        ------
        NapariVosError
            If anything of it can't be used.
        """
        with self._working():
            # Before all that takes time: the user may go on painting at once.
            painted = _painted(job)
            session = self._choose(job)
            yield session
            _tell(session, job, painted)
            is_changed = False
            with closing(session.propagate(frames=job.frames, direction=job.direction)) as results:
                for progress in results:
                    is_changed = True
                    yield progress
            if is_changed:
                yield session.changes()

    def draw(self, job: DrawJob) -> Generator[Session]:
        """Make masks in a worker: yield the session, then do it.

        Raises
        ------
        NapariVosError
            If anything of it can't be used.
        """
        with self._working():
            session = self._find_or_open(job)
            yield session
            chosen = vars(job.interactor).copy()
            session.choose_interactor(chosen.pop("engine"), **chosen)
            tell_painted(session, job.corrections, is_superseded=job.superseded.is_set)
            refused = []
            for t, drawing in job.drawings.items():
                if job.superseded.is_set():
                    return
                try:
                    if drawing.masks is not None:
                        session.add_mask(t, drawing.masks.labels)
                    if drawing.prompts and not session.draw(
                        drawing.prompts, is_superseded=job.superseded.is_set
                    ):
                        return
                except PromptError as error:  # what is drawn on other frames may be all right
                    refused.append(str(error))
            if refused:
                raise PromptError(" ".join(refused))
            job.done.set()

    def step(
        self, session: Session, action: Callable[[Session], object], corrections: Corrections
    ) -> Generator[Session | Progress]:
        """Undo, accept and the like in a worker: yield the session, then do it.

        What takes long returns the progress of each frame.
        """
        with self._working():
            yield session
            tell_painted(session, corrections)
            steps = action(session)
            if isinstance(steps, Generator):
                with closing(steps):
                    yield from steps

    def show(self, job: Job) -> Generator[Session]:
        """Open the session of a job in a worker, and do nothing else with it."""
        with self._working():
            yield self._find_or_open(job)

    @contextmanager
    def told(self, job: Job) -> Iterator[Session]:
        """Open the session of a job in a worker and tell it the masks; it stays open meanwhile.

        Raises
        ------
        NapariVosError
            If anything of it can't be used.
        """
        with self._working():
            painted = _painted(job)
            session = self._choose(job)
            _tell(session, job, painted)
            yield session

    def find(self, image: ImageSnapshot, folder: Path | None) -> Session | None:
        """Return the session that was opened in `folder`; None stands for the latest on `image`."""
        if folder is not None:
            return self.at(folder)
        found = (session for other, session in reversed(self._sessions) if other.is_same(image))
        return next(found, None)

    def at(self, folder: Path) -> Session | None:
        """Return the session that was opened in `folder`."""
        wanted = folder.resolve()
        found = (session for _, session in self._sessions if session.folder.resolve() == wanted)
        return next(found, None)

    def overview(self, session: Session) -> Overview:
        """Return what is known of the frames of an open session."""
        return self._overviews[session.folder]

    def close(self, untold: Mapping[Path, Corrections] | None = None) -> None:
        """Release all, when the last job has ended; they can be opened again.

        Parameters
        ----------
        untold
            What the user has painted on results, by folder. The sessions are told before.
        """
        with self._lock:
            self._is_closing = True
            self._untold = untold or {}
            if self._n_running == 0:
                self._release()

    @contextmanager
    def _working(self) -> Iterator[None]:
        with self._lock:
            self._n_running += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_running -= 1
                if self._is_closing and self._n_running == 0:
                    self._release()

    def _release(self) -> None:
        self._overviews.clear()
        while self._sessions:
            session = self._sessions.pop()[1]
            # All else is kept, and there is nobody left to hear of it.
            with suppress(NapariVosError):
                tell_painted(session, self._untold.get(session.folder, {}))
            session.close()

    def _choose(self, job: Job) -> Session:
        """Return the session of a job, with its engine."""
        session = self._find_or_open(job)
        session.choose_engine(**vars(job.options))
        return session

    def _find_or_open(self, job: Job | DrawJob) -> Session:
        """Return the session of a job as it is; a new one gets the engine of the job."""
        return self.find(job.image, job.folder) or self._open(job)

    def _open(self, job: Job | DrawJob) -> Session:
        if job.folder is not None and is_session(job.folder):
            channels = read_about(job.folder)["frames"]["channels"]
            session = Session.load(
                job.folder, job.image.open(channels), memory_bytes=memory_budget()
            )
        else:
            folder = job.folder or new_folder(job.image.name)
            session = Session(
                _where_it_was(job.image).open(),
                folder=folder,
                memory_bytes=memory_budget(),
                **vars(job.options),
            )
        session.place(describe_placement(job.image))
        self._overviews[session.folder] = Overview(session)
        self._sessions.append((job.image, session))
        return session


def _where_it_was(image: ImageSnapshot) -> ImageSnapshot:
    """Return images with the path of their file, also if they came with another session."""
    if image.path is None or not is_session(image.path):
        return image
    path = read_about(image.path)["frames"]["path"]
    return replace(image, path=None if path is None else Path(path))


def _painted(job: Job) -> list[tuple[int, NDArray[Any]]]:
    return [] if job.prompts is None else list(job.prompts.painted())


def _tell(session: Session, job: Job, painted: Iterable[tuple[int, NDArray[Any]]]) -> None:
    """Tell a session what was painted on its results, and on the layer of a job."""
    tell_painted(session, job.corrections)
    if job.prompts is not None:
        for t, labels in painted:
            _say(session, t, labels, job.prompts)


def _say(session: Session, t: int, labels: NDArray[Any], prompts: PromptSnapshot) -> None:
    if prompts.is_result or not _is_said(session, t, labels):
        try:
            session.add_mask(t, labels)
        except PromptError as error:
            raise PromptError(f"Labels layer '{prompts.name}': {error}") from error


def _is_said(session: Session, t: int, labels: NDArray[Any]) -> bool:
    """Return whether a prompt says what the session holds already.

    Saying it again would run all of it again.
    """
    if not 0 <= t < session.labels.shape[0] or labels.shape != session.labels.shape[1:]:
        return False
    ids = [int(i) for i in np.unique(labels) if i]
    if not all(t in session.user_frames(i) for i in ids):
        return False
    held = np.asarray(session.labels[t])
    return bool(np.array_equal(np.where(np.isin(held, ids), held, 0), labels))

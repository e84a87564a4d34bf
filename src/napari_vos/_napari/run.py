"""A propagation in the background of a window."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from napari.utils.notifications import show_info
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_vos._napari.background import Background
from napari_vos._napari.pace import Pace
from napari_vos._napari.results import ResultLayer
from napari_vos.session import Changes, Progress, RoundEstimate, Session

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_vos._napari.snapshot import ImageSnapshot

Outcome: TypeAlias = Session | Progress | Changes
"""What a worker tells."""

_REFRESH_MS = 80
"""Between two refreshes: 12 a second leave time for the user's own scrubbing."""


class Run(Background):
    """A propagation going on in a worker, and the layer that shows it. Main thread only.

    Parameters
    ----------
    viewer
        Where the results appear.
    image
        The images.
    work
        Opens the session, yields it, and then the progress of each frame and what
        it has changed.
    follow
        Whether the view moves along.
    is_heard
        Whether the session is told of strokes on its results, so that they can be painted.

    Attributes
    ----------
    latest
        The frame that was finished last; None if none was.
    """

    opened: ClassVar[Signal] = Signal(Session)
    """The session is there; nothing was done with it yet."""
    progressed: ClassVar[Signal] = Signal(Progress, str)
    """A frame is finished; how fast it goes."""
    estimated: ClassVar[Signal] = Signal(str)
    """What the run will take, said before its first frame."""
    changed: ClassVar[Signal] = Signal(Changes)
    """What the run has changed."""

    def __init__(
        self,
        viewer: ViewerModel,
        image: ImageSnapshot,
        work: Callable[[], Generator[Outcome]],
        *,
        follow: bool = False,
        is_heard: bool = False,
    ) -> None:
        self.follow = follow
        self._is_heard = is_heard
        self._viewer: ViewerModel | None = viewer
        self._image = image
        self._results: ResultLayer | None = None
        self.latest: int | None = None
        self._told_removed = False
        self._pace = Pace()
        self._timer = QTimer()
        self._timer.timeout.connect(self._refresh)
        super().__init__(partial(self._heard, work))
        self._timer.start(_REFRESH_MS)

    def _heard(self, work: Callable[[], Generator[Outcome]]) -> Generator[Outcome]:
        """Do the work, in the worker, and pass on what the session says beside."""

        def warn(message: str) -> None:
            self._worker.warned.emit((message,))

        def tell(estimate: RoundEstimate) -> None:
            self._worker.yielded.emit(estimate)

        with closing(work()) as results, ExitStack() as ears:
            for result in results:
                if isinstance(result, Session):
                    for signal, ear in ((result.warned, warn), (result.estimated, tell)):
                        signal.connect(ear)
                        ears.callback(signal.disconnect, ear)
                yield result

    def _take(self, result: Session | RoundEstimate | Progress | Changes) -> None:
        if self._viewer is None:
            return
        if isinstance(result, Session):
            self._results = ResultLayer(self._viewer, result, self._image, is_heard=self._is_heard)
            self._pace = Pace()
            self.opened.emit(result)
            return
        if isinstance(result, RoundEstimate):
            self.estimated.emit(str(result))
            return
        if isinstance(result, Changes):
            self.changed.emit(result)
            return
        if self._results is not None:
            self._results.note(result.t)
        self.latest = result.t
        self.progressed.emit(result, self._pace.describe(result))

    def _refresh(self) -> None:
        if self._results is None:
            return
        is_lost = not self._results.is_there and not self._worker.abort_requested
        if is_lost and not self._told_removed:
            self._told_removed = True
            show_info(
                "The results layer was removed. The run goes on, and nothing is lost: all is in "
                f"'{self._results.folder}'. Drop that folder onto the window to see it again."
            )
        self._results.refresh(follow=self.follow, latest=self.latest)

    def _close(self, _: object = None) -> None:
        self._timer.stop()
        if self._results is not None:
            self._results.close()
        # A window must not be kept alive by its last run.
        self._viewer = self._results = None
        super()._close()

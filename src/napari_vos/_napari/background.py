"""Work in the background of a window, which shows what is found as it comes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, ClassVar

from napari.utils.notifications import show_warning
from psygnal import Signal
from qtpy.QtCore import QEventLoop, QTimer

from napari_vos._napari.notify import tell_error
from napari_vos._napari.worker import ClosingWorker
from napari_vos.session import Finish


class Background:
    """A generator that runs in a worker. Main thread only.

    Parameters
    ----------
    work
        Yields what is found, frame by frame.
    """

    found: ClassVar[Signal] = Signal(object)
    """A frame is done; what the generator has yielded."""
    finished: ClassVar[Signal] = Signal(Finish)
    """The work has stopped, and why."""

    def __init__(self, work: Callable[[], Generator[Any]]) -> None:
        self.finish: Finish | None = None
        self.is_running = True
        self._worker = ClosingWorker(partial(_each, work))
        self._worker.yielded.connect(self._take)
        self._worker.errored.connect(self._fail)
        self._worker.aborted.connect(self._abort)
        self._worker.warned.connect(_tell_warning)
        self._worker.finished.connect(self._close)
        self._worker.start()

    def cancel(self) -> None:
        """Stop after the frame in work."""
        self._worker.quit()

    def wait(self, timeout: float | None = None) -> Finish | None:
        """Return why it has stopped, when it has; the window stays alive meanwhile.

        Parameters
        ----------
        timeout
            Seconds to wait at most; then None is returned.
        """
        if self.is_running:
            loop = QEventLoop()
            stop = self.finished.connect(lambda: loop.quit())
            if timeout is not None:
                QTimer.singleShot(round(timeout * 1000), loop.quit)
            loop.exec()
            self.finished.disconnect(stop)
        return self.finish

    def _take(self, found: Any) -> None:
        self.found.emit(found)

    def _fail(self, error: Exception) -> None:
        self.finish = Finish.FAILED
        tell_error(error)

    def _abort(self, _: object = None) -> None:
        self.finish = Finish.CANCELLED

    def _close(self, _: object = None) -> None:
        self.is_running = False
        self.finish = self.finish or Finish.COMPLETED
        self.finished.emit(self.finish)


def _each(work: Callable[[], Generator[Any]]) -> Generator[Any]:
    yield from work()


def _tell_warning(warning: tuple[object, ...]) -> None:
    show_warning(str(warning[0]))

"""Finding instances in the background of a window."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import Signal
from qtpy.QtCore import QEventLoop, QTimer

from napari_vos._napari.notify import tell_error
from napari_vos._napari.worker import ClosingWorker
from napari_vos.engines import create_detector
from napari_vos.session import Finish
from napari_vos.store.cache import ByteCache

if TYPE_CHECKING:
    from napari_vos._napari.snapshot import ImageSnapshot
    from napari_vos.configs import CellsConfig
    from napari_vos.engines.base import Detector, FrameInstances, RawDetections

MEMORY = 2**30
"""Bytes of raw detections that are kept; thresholds can be moved on those frames."""


@dataclass(frozen=True)
class DetectorOptions:
    """The detector that is asked for, as `create_detector` takes it."""

    name: str = "cells"
    config: CellsConfig | None = None
    weights: Path | None = None
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True)
class Thresholds:
    """What counts as an instance; see `RawDetections.instances`."""

    score: float = 0.3
    overlap: float = 0.5


@dataclass(frozen=True, eq=False)
class Found:
    """The instances of a frame."""

    t: int
    instances: FrameInstances


class Sight:
    """What a detector has seen of some images. Used by one worker at a time.

    Parameters
    ----------
    image
        The images.
    options
        The detector.
    """

    def __init__(self, image: ImageSnapshot, options: DetectorOptions) -> None:
        self.image = image
        self.options = options
        self._detector: Detector | None = None
        self._seen: ByteCache[RawDetections] = ByteCache(MEMORY)

    def fits(self, image: ImageSnapshot, options: DetectorOptions) -> bool:
        """Return whether these are its own images and options."""
        return self.image.is_same(image) and self.options == options

    def look(self, frames: Iterable[int], thresholds: Callable[[], Thresholds]) -> Generator[Found]:
        """Yield the instances of frames, looking at those that haven't been seen.

        Raises
        ------
        NapariVosError
            If images, weights or device can't be used.
        """
        for t in frames:
            raw = self._seen.get(str(t))
            if raw is None:
                if self._detector is None:
                    options = dict(vars(self.options))
                    self._detector = create_detector(
                        options.pop("name"), self.image.open(), **options
                    )
                raw = self._detector.detect(t)
                self._seen.put(str(t), raw, raw.nbytes)
            yield Found(t, raw.instances(**vars(thresholds())))

    def look_again(
        self, frames: Iterable[int], thresholds: Callable[[], Thresholds]
    ) -> Generator[Found]:
        """Yield the instances of those frames whose raw detections are kept."""
        return self.look((t for t in frames if self._seen.get(str(t)) is not None), thresholds)


class Detection:
    """A search going on in a worker. Main thread only.

    Parameters
    ----------
    work
        Yields the instances of each frame.
    """

    found: ClassVar[Signal] = Signal(Found)
    """A frame is done."""
    finished: ClassVar[Signal] = Signal(Finish)
    """The search has stopped, and why."""

    def __init__(self, work: Callable[[], Generator[Found]]) -> None:
        self.finish: Finish | None = None
        self.is_running = True
        self._worker = ClosingWorker(partial(_each, work))
        self._worker.yielded.connect(self._take)
        self._worker.errored.connect(self._fail)
        self._worker.aborted.connect(self._abort)
        self._worker.finished.connect(self._close)
        self._worker.start()

    def cancel(self) -> None:
        """Stop after the frame in work."""
        self._worker.quit()

    def wait(self, timeout: float) -> Finish | None:
        """Return why it has stopped, None if it hasn't after `timeout` seconds."""
        if self.is_running:
            loop = QEventLoop()
            stop = self.finished.connect(lambda: loop.quit())
            QTimer.singleShot(round(timeout * 1000), loop.quit)
            loop.exec()
            self.finished.disconnect(stop)
        return self.finish

    def _take(self, found: Found) -> None:
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


def _each(work: Callable[[], Generator[Found]]) -> Generator[Any]:
    yield from work()

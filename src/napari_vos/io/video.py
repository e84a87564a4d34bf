"""Videos, through the optional library av."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_vos.errors import FramesError
from napari_vos.io.paged import PagedArray

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".wmv"})
_N_KEPT = 16
_GREY = {"gray": "gray", "gray10le": "gray16le", "gray12le": "gray16le", "gray16le": "gray16le"}


class VideoArray(PagedArray):
    """The frames of the first picture stream of a video.

    Frames one after another are decoded once. A jump goes back to the last
    frame that stands by itself and decodes from there on; the frames passed on
    the way are kept for whoever goes backward.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    FramesError
        If `av` isn't installed, or the file holds no pictures.
    """

    def __init__(self, path: Path) -> None:
        av = _library(path)
        self._path = path
        self._lock = Lock()
        try:
            self._container: Any = av.open(str(path))
            weakref.finalize(self, self._container.close)
            self._stream = self._container.streams.video[0]
            self._stream.thread_type = "AUTO"
            packets = self._container.demux(self._stream)
            self._times = sorted(packet.pts for packet in packets if packet.pts is not None)
            self._number_at = {time: number for number, time in enumerate(self._times)}
        except Exception as error:  # the library raises whatever it likes
            raise FramesError(f"Can't open '{path}' as video: {error}") from error
        self._format = _GREY.get(self._stream.format.name, "rgb24")
        self._decoded: Iterator[Any] = iter(())
        self._next = -1
        self._passed: deque[tuple[int, Any]] = deque(maxlen=_N_KEPT)
        shape = (self._stream.height, self._stream.width)
        grey = self._format != "rgb24"
        super().__init__(
            (len(self._times),),
            shape if grey else (*shape, 3),
            np.uint16 if self._format == "gray16le" else np.uint8,
            "TYX" if grey else "TYXS",
        )

    def read_page(self, number: int) -> NDArray[Any]:
        """Return a frame; see `PagedArray.read_page`."""
        try:
            with self._lock:
                return self._read(number)
        except Exception as error:
            self._next = -1
            raise FramesError(f"Can't read frame {number} of '{self._path}': {error}") from error

    def _read(self, number: int) -> NDArray[Any]:
        kept = dict(self._passed)
        if number in kept:
            return self._pixels(kept[number])
        if number != self._next:
            self._container.seek(self._times[number], stream=self._stream)
            self._decoded = self._container.decode(self._stream)
        for frame in self._decoded:
            found = self._number_at.get(frame.pts, -1)
            self._passed.append((found, frame))
            if found == number:
                self._next = number + 1
                return self._pixels(frame)
            if found > number:
                break
        raise ValueError("the video doesn't hold it, or is damaged before it")

    def _pixels(self, frame: Any) -> NDArray[Any]:
        pixels: NDArray[Any] = frame.to_ndarray(format=self._format)
        return pixels


def _library(path: Path) -> Any:
    try:
        import av
    except ImportError as error:
        raise FramesError(
            f"Reading the video '{path}' needs the library av. Install it with "
            "pip install 'napari-vos[video]', or save the frames as TIFF."
        ) from error
    return av

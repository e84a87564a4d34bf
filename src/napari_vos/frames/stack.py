"""A time-lapse of any size, seen one frame at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import index
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_vos.errors import FramesError
from napari_vos.frames.arrays import full_resolution, read_array
from napari_vos.frames.axes import find_layout
from napari_vos.frames.cache import ByteCache, ReadAhead
from napari_vos.frames.normalization import Normalization, Sample, normalize, sample_movie

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAX_CHANNELS = 3
_FRAMES_AHEAD = 2

KEPT_FRAMES = 4
"""Those read ahead, the present one and the one before."""


class FrameStack:
    """A lazy view of a time-lapse.

    Nothing is read until it is asked for, and then one frame at a time; the
    array is referred to, not copied. All methods may be called from several
    threads.

    Parameters
    ----------
    images
        A numpy, dask or zarr array of integers, floats or booleans with axes
        (T, Y, X), (T, C, Y, X), (T, Y, X, 3) or (T, Y, X, 4), or a list of
        such levels, largest first, of which the first is used.
    axes
        One letter per dimension of `images`: T time, C channel (S if it is
        colour), Y row, X column, and Z if it has length 1. Inferred from the
        shape if that is possible.
    channels
        The channels the networks see, one to three; the first three if None.
    name
        What the stack is called in messages: a layer or a file.
    path
        The file or folder `images` is in, if it can be opened again.
    cache_bytes
        How much memory to keep frames in, in bytes; if None, for `KEPT_FRAMES`, but 64 MiB
        at least and 256 at most.

    Raises
    ------
    FramesError
        If `images` is no such array, its axes can't be told, or a channel isn't
        there.
    """

    def __init__(
        self,
        images: object,
        *,
        axes: str | None = None,
        channels: Sequence[int] | None = None,
        name: str = "images",
        path: Path | None = None,
        cache_bytes: int | None = None,
    ) -> None:
        self._images = full_resolution(images, name)
        self._layout = find_layout(tuple(self._images.shape), axes, name)
        self._name = name
        self._path = path
        self._dtype: np.dtype[Any] = np.dtype(self._images.dtype).newbyteorder("=")
        self._channels = _chosen(channels, self.n_channels, name)
        if cache_bytes is None:
            cache_bytes = min(256 << 20, max(64 << 20, KEPT_FRAMES * self._frame_bytes))
        self._cache = ByteCache(cache_bytes)
        self._ahead = ReadAhead(self.normalized)
        self._sample: Sample | None = None
        self._sample_lock = Lock()

    @property
    def name(self) -> str:
        """What the stack is called in messages."""
        return self._name

    @property
    def path(self) -> Path | None:
        """The file or folder the images are in, absolute; None for an array in memory."""
        return self._path

    @property
    def axes(self) -> str:
        """Axes of the array without those of length 1: "TYX", "TCYX" or "TYXC" for instance."""
        return self._layout.axes

    @property
    def n_frames(self) -> int:
        """Number of frames, at least 1."""
        return self._layout.n_frames

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) of a frame."""
        return self._layout.shape

    @property
    def n_channels(self) -> int:
        """Number of channels `read` returns, at least 1."""
        return self._layout.n_channels

    @property
    def channels(self) -> tuple[int, ...]:
        """The one to three channels `normalized` returns."""
        return self._channels

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels, in native byte order."""
        return self._dtype

    @property
    def normalization(self) -> Normalization:
        """The grey values that become 0 and 1, per chosen channel; ready for JSON.

        The 0.5th and 99.8th percentile of a fixed grid of pixels on up to 16
        frames spread over the movie. NaN and infinity don't count.
        """
        return self._sampled().normalization

    @property
    def fingerprint(self) -> str:
        """Hash of the shape, the dtype and up to 16 frames spread over the movie.

        The same for the same images in any container and order of axes.
        """
        return self._sampled().fingerprint

    def read(self, t: int) -> NDArray[Any]:
        """Return frame `t` as it is.

        Returns
        -------
        ndarray
            (C, Y, X), of the stack's dtype, read-only.

        Raises
        ------
        FramesError
            If `t` is outside the stack, or the frame can't be read.
        """
        t = self._checked(t)
        return self._cache.get(("read", t), lambda: self._load(t))

    def normalized(self, t: int) -> NDArray[np.float32]:
        """Return frame `t` as the networks see it.

        Returns
        -------
        ndarray
            (C', Y, X) float32, finite, read-only: the chosen channels, with the
            range of the movie mapped to 0 to 1 and not clipped. NaN and infinity
            give 0, and so does a channel that is constant, on this frame or
            altogether.

        Raises
        ------
        FramesError
            If `t` is outside the stack, or the frame can't be read.
        """
        t = self._checked(t)
        return self._cache.get(("normalized", t), lambda: self._normalize(t))

    def read_ahead(self, order: Iterable[int]) -> Iterator[int]:
        """Yield the frame indices in `order`, and fetch the next ones meanwhile.

        The next two frames, if the cache can hold them, are read and normalised
        in a thread while the caller is busy with the one that was yielded. The
        iterator may be dropped at any time.

        Parameters
        ----------
        order
            Frame indices in the order they will be used.
        """
        frames = [self._checked(t) for t in order]
        depth = max(0, min(_FRAMES_AHEAD, self._cache.budget // self._frame_bytes - 1))
        try:
            for position, t in enumerate(frames, start=1):
                self._ahead.want(frames[position : position + depth])
                yield t
        finally:
            self._ahead.want(())

    @property
    def _frame_bytes(self) -> int:
        """What a frame takes as it was read, and normalised."""
        pixel_bytes = self.n_channels * self.dtype.itemsize + len(self.channels) * 4
        return self.shape[0] * self.shape[1] * pixel_bytes

    def _checked(self, t: int) -> int:
        t = index(t)
        if not 0 <= t < self.n_frames:
            raise FramesError(
                f"Frame {t} is outside '{self.name}'; expected 0 to {self.n_frames - 1}."
            )
        return t

    def _load(self, t: int) -> NDArray[Any]:
        try:
            block = read_array(self._images, self._layout.index(t))
        except Exception as error:  # the array may run anyone's code
            cause = str(error) or type(error).__name__
            raise FramesError(f"Can't read frame {t} of '{self.name}': {cause}") from error
        if block.shape != self._layout.block_shape():
            raise FramesError(
                f"Frame {t} of '{self.name}' has shape {block.shape}; expected "
                f"{self._layout.block_shape()} as the whole stack says."
            )
        frame = np.ascontiguousarray(self._layout.arrange(block), self.dtype).view()
        frame.setflags(write=False)
        return frame

    def _normalize(self, t: int) -> NDArray[np.float32]:
        frame = normalize(self.read(t), self.normalization)
        frame.setflags(write=False)
        return frame

    def _sampled(self) -> Sample:
        with self._sample_lock:
            if self._sample is None:
                self._sample = sample_movie(self.read, self.n_frames, self.channels)
            return self._sample


def _chosen(channels: Sequence[int] | None, n_channels: int, name: str) -> tuple[int, ...]:
    if channels is None:
        return tuple(range(min(n_channels, _MAX_CHANNELS)))
    chosen = tuple(index(channel) for channel in channels)
    fits = all(0 <= channel < n_channels for channel in chosen)
    if not fits or len(set(chosen)) < len(chosen) or not 1 <= len(chosen) <= _MAX_CHANNELS:
        raise FramesError(
            f"Can't use the channels {list(chosen)} of '{name}'; expected one to {_MAX_CHANNELS} "
            f"different ones out of 0 to {n_channels - 1}."
        )
    return chosen

"""TIFF files of any kind, read page by page."""

from __future__ import annotations

import logging
import struct
import weakref
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_vos.errors import FramesError
from napari_vos.io.paged import PagedArray

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# What it has to say about a file is in our errors.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_UNNAMED = "IQ"
"""Axes of pages that say nothing about what they are."""

_PLAIN_KINDS = ("shaped", "generic", "uniform")
_ADVICE = "Check that it was copied completely, or save it anew."


class TiffArray(PagedArray):
    """The pages of a TIFF file.

    Parameters
    ----------
    path
        The file.
    tiff
        The open file; closed when this array is.
    pages
        The pages, in C order of `lead`; or None if they lie behind each other in
        the file from byte `offset` on, not compressed.
    lead, page_shape, dtype, axes
        See `PagedArray`.
    offset
        See `pages`.
    """

    def __init__(
        self,
        path: Path,
        tiff: tifffile.TiffFile,
        pages: Any,
        *,
        lead: tuple[int, ...],
        page_shape: tuple[int, ...],
        dtype: Any,
        axes: str | None,
        offset: int = 0,
    ) -> None:
        super().__init__(lead, page_shape, dtype, axes)
        self._path = path
        self._tiff = tiff
        self._pages = pages
        self._stored_dtype = np.dtype(dtype)
        self._offset = offset
        self._lock = RLock()
        self._close = weakref.finalize(self, tiff.close)

    def close(self) -> None:
        """Close the file; nothing can be read any more."""
        self._close()

    def read_page(self, number: int) -> NDArray[Any]:
        """Return a page; see `PagedArray.read_page`."""
        try:
            page = self._read(number)
        except Exception as error:  # decoders raise whatever they like
            raise FramesError(
                f"Can't read page {number} of '{self._path}': {_cause(error)}"
            ) from error
        return page.reshape(self._page_shape)

    def _read(self, number: int) -> NDArray[Any]:
        if self._pages is None:
            size = int(np.prod(self._page_shape, dtype=int))
            offset = self._offset + number * size * self._stored_dtype.itemsize
            dtype = self._stored_dtype.newbyteorder(self._tiff.byteorder)
            with self._lock:
                return self._tiff.filehandle.read_array(dtype, size, offset)
        with self._lock:
            page = self._pages[number]
        if page is None:
            raise ValueError("the file doesn't hold it")
        _check_complete(page, number)
        values: NDArray[Any] = page.asarray(lock=self._lock)
        return values


def open_tiff(path: Path, *, axes: str | None = None) -> TiffArray:
    """Open a TIFF, ImageJ or OME-TIFF file, of which the first series is taken.

    Parameters
    ----------
    path
        The file.
    axes
        Axes to use instead of those the file names.

    Raises
    ------
    FramesError
        If it is no TIFF, is cut off, or its pages differ in shape.
    """
    try:
        tiff = tifffile.TiffFile(path)
    except Exception as error:  # a damaged header raises whatever it likes
        raise FramesError(f"Can't open '{path}' as TIFF: {_cause(error)} {_ADVICE}") from error
    try:
        _check_chain(path, tiff)
        return _opened(path, tiff, axes)
    except FramesError:
        tiff.close()
        raise
    except Exception as error:
        tiff.close()
        raise FramesError(f"Can't understand '{path}': {_cause(error)} {_ADVICE}") from error


def _opened(path: Path, tiff: tifffile.TiffFile, axes: str | None) -> TiffArray:
    series = tiff.series[0]
    shape: tuple[int, ...] = tuple(series.get_shape(squeeze=False))
    letters: str = series.get_axes(squeeze=False)
    pages: Any = series.pages
    offset: int | None = series.dataoffset
    if len(tiff.series) > 1 and series.kind in _PLAIN_KINDS:  # each page is its own series
        pages, offset = _equal_pages(path, tiff), None
        letters, shape = "I" + tiff.pages.first.axes, (len(pages), *tiff.pages.first.shape)
    shape, letters = _squeezed(shape, letters, axes)
    n_lead = _n_lead(shape, series.keyframe.size)
    if offset is None:
        _check_complete(pages[len(pages) - 1], len(pages) - 1)
    else:
        _check_end("it", offset + series.size * series.dtype.itemsize, tiff)
    return TiffArray(
        path,
        tiff,
        pages if offset is None else None,
        lead=shape[:n_lead],
        page_shape=shape[n_lead:],
        dtype=series.dtype,
        axes=axes or _named(letters),
        offset=offset or 0,
    )


def _squeezed(
    shape: tuple[int, ...], letters: str, axes: str | None
) -> tuple[tuple[int, ...], str]:
    """Drop dimensions of length 1 that the file holds for form's sake.

    Time stays, since a stack of one frame is a stack, unless the user's `axes`
    say otherwise: the planes of a Z stack may really be time.
    """
    found = []
    for kept in ("TIQYX", "YX"):
        places = [i for i, letter in enumerate(letters) if shape[i] != 1 or letter in kept]
        found.append((tuple(shape[i] for i in places), "".join(letters[i] for i in places)))
    return next((one for one in found if axes and len(one[0]) == len(axes)), found[0])


def _n_lead(shape: tuple[int, ...], page_size: int) -> int:
    for n_lead in range(len(shape) - 1):
        if np.prod(shape[n_lead:], dtype=int) == page_size:
            return n_lead
    raise ValueError(f"its shape {shape} doesn't consist of whole pages")


def _named(letters: str) -> str | None:
    if letters == "SYX":  # how three or four frames without a description are often written
        return "TYX"
    unnamed = [letter for letter in letters if letter in _UNNAMED]
    if len(unnamed) == 1 and "T" not in letters:
        return letters.replace(unnamed[0], "T")
    return None if unnamed else letters


def _equal_pages(path: Path, tiff: tifffile.TiffFile) -> Any:
    first = tiff.pages.first
    for number in range(len(tiff.pages)):
        page = tiff.pages[number]
        if (page.shape, page.dtype) != (first.shape, first.dtype):
            raise FramesError(
                f"Page {number} of '{path}' is {page.shape} {page.dtype}, but page 0 is "
                f"{first.shape} {first.dtype}; expected frames of one shape and type. "
                "Crop or convert them first."
            )
    return tiff.pages


def _check_chain(path: Path, tiff: tifffile.TiffFile) -> None:
    """Check that the last page found is the last one there ever was.

    Each page says where the next one is described, the last one 0. In a file
    that is cut off, it points beyond the end.
    """
    n_pages = len(tiff.pages)
    form, file = tiff.tiff, tiff.filehandle
    file.seek(tiff.pages[n_pages - 1].offset)
    (n_tags,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
    file.seek(n_tags * form.tagsize, 1)
    (following,) = struct.unpack(form.offsetformat, file.read(form.offsetsize))
    if following != 0:
        raise FramesError(
            f"'{path}' is cut off or damaged: page {n_pages} should follow at byte {following}, "
            f"but can't be found; the file has {file.size} bytes. {_ADVICE}"
        )


def _check_complete(page: Any, number: int) -> None:
    if page is not None:
        ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))
        _check_end(f"page {number}", max(ends, default=0), page.parent)


def _check_end(what: str, end: int, tiff: tifffile.TiffFile) -> None:
    size = tiff.filehandle.size
    if end > size:
        raise ValueError(f"{what} is cut off: it should end at byte {end}, but the file has {size}")


def _cause(error: Exception) -> str:
    cause = str(error.args[0] if error.args else type(error).__name__)
    return f"{cause.rstrip('.')}."

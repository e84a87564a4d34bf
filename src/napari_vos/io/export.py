"""Writing label stacks, frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import zarr

from napari_vos.errors import FramesError, StoreError
from napari_vos.io.labels import check_labels
from napari_vos.io.output import whole_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_vos.frames.arrays import LazyArray

_SUFFIXES = (".tif", ".tiff", ".zarr")
_MAX_CLASSIC_TIFF_BYTES = 2**32 - 2**25
"""Beyond it a TIFF may not hold its pages and their descriptions any more."""


def write_labels(
    path: str | PathLike[str],
    labels: LazyArray | Sequence[NDArray[Any]],
    *,
    overwrite: bool = False,
) -> None:
    """Write a label stack, one frame in memory at a time, whole or not at all.

    Parameters
    ----------
    path
        Ends in .tif or .tiff: a compressed TIFF that ImageJ opens as a
        time-lapse; above 4 GB a BigTIFF with OME metadata. Ends in .zarr: a
        zarr array with one chunk per frame.
    labels
        (T, Y, X): an array of any kind, or a sequence of frames (Y, X). Any
        integer dtype; written as uint16.
    overwrite
        Whether to replace what is at `path` already.

    Raises
    ------
    FramesError
        If a frame isn't (Y, X) like the first one, or holds floats, negative
        labels or ids above 65535.
    StoreError
        If `path` has another suffix, exists already, or can't be written; what
        was there stays as it was.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise StoreError(
            f"Can't write labels to '{path}': expected a name ending in {', '.join(_SUFFIXES)}."
        )
    if hasattr(labels, "shape"):
        shape = tuple(labels.shape)
    else:
        shape = (len(labels), *(np.shape(labels[0]) if len(labels) else (0, 0)))
    if len(shape) != 3:
        raise FramesError(
            f"The labels for '{path}' have shape {shape}; expected a stack (T, Y, X)."
        )
    if 0 in shape:
        raise FramesError(
            f"There are no labels to write to '{path}': the stack has the shape {shape}."
        )
    frames = _checked_frames(labels, shape, path)
    write = _write_zarr if path.suffix.lower() == ".zarr" else _write_tiff
    with whole_output(path, overwrite=overwrite) as temporary:
        write(temporary, frames, shape)


def _checked_frames(
    labels: LazyArray | Sequence[NDArray[Any]], shape: tuple[int, ...], path: Path
) -> Iterator[NDArray[np.uint16]]:
    for t in range(shape[0]):
        frame = np.asarray(labels[t])
        if frame.shape != shape[1:]:
            raise FramesError(
                f"Frame {t} of the labels for '{path}' has shape {frame.shape}; "
                f"expected {shape[1:]} as on frame 0."
            )
        yield check_labels(frame, t, f"labels for {path}")


def _write_tiff(path: Path, frames: Iterable[NDArray[np.uint16]], shape: tuple[int, ...]) -> None:
    big = 2 * prod(shape) > _MAX_CLASSIC_TIFF_BYTES
    with tifffile.TiffWriter(path, bigtiff=big, ome=big, imagej=not big) as tiff:
        tiff.write(
            iter(frames),
            shape=shape,
            dtype=np.uint16,
            compression="zlib",
            photometric="minisblack",
            metadata={"axes": "TYX"},
        )


def _write_zarr(path: Path, frames: Iterable[NDArray[np.uint16]], shape: tuple[int, ...]) -> None:
    array = zarr.create_array(
        path,
        shape=shape,
        chunks=(1, *shape[1:]),
        dtype=np.uint16,
        fill_value=0,
        dimension_names=("t", "y", "x"),
    )
    for t, frame in enumerate(frames):
        array[t] = frame

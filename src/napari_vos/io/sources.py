"""Opening whatever a path leads to."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from napari_vos.errors import FramesError
from napari_vos.frames import FrameStack
from napari_vos.io.folder import IMAGE_SUFFIXES, TIFF_SUFFIXES, open_folder
from napari_vos.io.labels import LabelStack
from napari_vos.io.tiff import open_tiff
from napari_vos.io.video import VIDEO_SUFFIXES, VideoArray
from napari_vos.io.zarr import is_zarr, open_zarr

if TYPE_CHECKING:
    from napari_vos.frames.arrays import LazyArray

_LABEL_CACHE_BYTES = 32 * 2**20


def open_frames(
    path: str | PathLike[str],
    *,
    axes: str | None = None,
    channels: Sequence[int] | None = None,
) -> FrameStack:
    """Open a time-lapse; nothing but its description is read.

    Parameters
    ----------
    path
        A TIFF, ImageJ or OME-TIFF file, a zarr array or OME-Zarr image (level
        0), a folder of images with one file per frame, or a video (with the
        extra `video`).
    axes
        Axes to use instead of those the file names, one letter per dimension
        such as "TYX"; see `FrameStack`.
    channels
        The channels the networks see; see `FrameStack`.

    Raises
    ------
    FramesError
        If there is nothing that can be read, or it is no time-lapse.
    """
    array, axes = _open(Path(path), axes)
    return FrameStack(
        array, axes=axes, channels=channels, name=str(path), path=Path(path).absolute()
    )


def open_labels(path: str | PathLike[str], *, axes: str | None = None) -> LabelStack:
    """Open a stack of label images; nothing but its description is read.

    Parameters
    ----------
    path
        As for `open_frames`. Images with a palette give its indices.
    axes
        As for `open_frames`.

    Raises
    ------
    FramesError
        If there is nothing that can be read, or it can't be labels.
    """
    array, axes = _open(Path(path), axes, indexed=True)
    stack = FrameStack(array, axes=axes, name=str(path), cache_bytes=_LABEL_CACHE_BYTES)
    return LabelStack(stack)


def _open(path: Path, axes: str | None, *, indexed: bool = False) -> tuple[LazyArray, str | None]:
    suffix = path.suffix.lower()
    if not path.exists():
        raise FramesError(f"There is no file or folder '{path}'. Check the name.")
    if is_zarr(path) or suffix == ".zarr":
        array, found = open_zarr(path)
        return array, axes or found
    if path.is_dir():
        images = open_folder(path, indexed=indexed)
        return images, axes or images.axes
    if suffix in TIFF_SUFFIXES:
        pages = open_tiff(path, axes=axes)
        return pages, pages.axes
    if suffix in VIDEO_SUFFIXES:
        video = VideoArray(path)
        return video, axes or video.axes
    if suffix in IMAGE_SUFFIXES:
        raise FramesError(
            f"'{path}' is a single image; expected a stack of frames. "
            f"Open the folder '{path.parent}' to take each of its images as a frame."
        )
    raise FramesError(
        f"Can't open '{path}': files ending in '{suffix}' aren't known. Expected TIFF "
        f"({', '.join(sorted(TIFF_SUFFIXES))}), zarr, a folder of images, or a video "
        f"({', '.join(sorted(VIDEO_SUFFIXES))})."
    )

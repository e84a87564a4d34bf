"""Folders that hold one image file per frame."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from napari_vos.errors import FramesError
from napari_vos.io.paged import PagedArray
from napari_vos.io.tiff import TiffArray, open_tiff

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TIFF_SUFFIXES = frozenset({".tif", ".tiff", ".btf", ".tf8"})
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp"}) | TIFF_SUFFIXES

_DTYPES = {"1": "?", "L": "u1", "P": "u1", "I": "i4", "F": "f4", "RGB": "u1", "RGBA": "u1"}


class _Form(NamedTuple):
    """What all files of a folder have in common."""

    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        return f"{self.shape} {self.dtype}"


class FolderArray(PagedArray):
    """One image file per frame.

    Parameters
    ----------
    files
        The files, in the order of time.
    indexed
        Whether the pixels of images with a palette are the indices into it,
        which are object ids in label images, and not its colours.

    Raises
    ------
    FramesError
        If a file can't be read, or differs from the first one in shape or type.
    """

    def __init__(self, files: list[Path], *, indexed: bool = False) -> None:
        self._files = files
        self._indexed = indexed
        first = self._form(files[0])
        for file in files[1:]:
            form = self._form(file)
            if form != first:
                raise FramesError(
                    f"'{file}' is {form}, but '{files[0].name}' is {first}; expected frames of "
                    "one shape and type. Crop or convert them, or move this file elsewhere."
                )
        super().__init__((len(files),), first.shape, first.dtype, "T" + first.axes)

    def read_page(self, number: int) -> NDArray[Any]:
        """Return the image of a file; see `PagedArray.read_page`."""
        file = self._files[number]
        if file.suffix.lower() in TIFF_SUFFIXES:
            array, _ = _open_page(file)
            try:
                pixels = array[:]
            finally:
                array.close()
        else:
            pixels = self._read_image(file)
        return pixels.reshape(self._page_shape)

    def _read_image(self, file: Path) -> NDArray[Any]:
        try:
            with Image.open(file) as image:
                mode = self._mode(image)
                if mode == "1":  # its True is 255, which numpy doesn't expect of a boolean
                    return np.asarray(image.convert("L")) > 0
                return np.asarray(image if image.mode == mode else image.convert(mode))
        except Exception as error:  # decoders raise whatever they like
            raise FramesError(f"Can't read '{file}': {error}") from error

    def _form(self, file: Path) -> _Form:
        if file.suffix.lower() in TIFF_SUFFIXES:
            array, axes = _open_page(file)
            array.close()
            shape = tuple(n for n, axis in zip(array.shape, axes, strict=True) if axis != "T")
            return _Form(axes.replace("T", ""), shape, array.dtype)
        try:
            with Image.open(file) as image:
                mode, (width, height) = self._mode(image), image.size
        except Exception as error:
            raise FramesError(f"Can't read '{file}': {error}") from error
        colour = mode in ("RGB", "RGBA")
        shape = (height, width, len(mode)) if colour else (height, width)
        return _Form("YXS" if colour else "YX", shape, np.dtype(_DTYPES.get(mode, "u2")))

    def _mode(self, image: Image.Image) -> str:
        """Return the mode in which to take the pixels of `image`."""
        if image.mode == "P":
            return "P" if self._indexed else "RGB"
        if image.mode in _DTYPES or image.mode.startswith("I;16"):
            return image.mode
        return "L" if image.mode == "LA" else "RGB"


def open_folder(path: Path, *, indexed: bool = False) -> FolderArray:
    """Open a folder of images; file names are sorted as people count, 2 before 10.

    Parameters
    ----------
    path
        The folder.
    indexed
        See `FolderArray`.

    Raises
    ------
    FramesError
        If it holds no images, or they don't fit together.
    """
    files = [
        file
        for file in path.iterdir()
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
    ]
    if not files:
        raise FramesError(
            f"The folder '{path}' holds no images; expected one file per frame "
            f"({', '.join(sorted(IMAGE_SUFFIXES))}), or a zarr array."
        )
    return FolderArray(sorted(files, key=_natural), indexed=indexed)


def _natural(file: Path) -> tuple[list[tuple[int, str]], str]:
    """Return a key that sorts the numbers in file names by value."""
    parts = re.findall(r"\d+|\D+", file.name.lower())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts], file.name


def _open_page(file: Path) -> tuple[TiffArray, str]:
    """Open a TIFF that holds a single image."""
    array = open_tiff(file)
    axes = array.axes
    n_pages = array.shape[axes.index("T")] if axes and "T" in axes else 1
    if axes is None or n_pages != 1:
        array.close()
        raise FramesError(
            f"'{file}' holds a stack of shape {array.shape}; a folder needs one image per file. "
            "Open the stack by its own name."
        )
    return array, axes

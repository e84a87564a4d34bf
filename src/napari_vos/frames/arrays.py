"""Reading a part of an array, whatever library it comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from napari_vos.errors import FramesError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Index = tuple[int | slice, ...]


class LazyArray(Protocol):
    """What a stack needs of an array: numpy, dask, zarr and our own files have it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""
        ...

    @property
    def dtype(self) -> Any:
        """Type of the pixels, as numpy understands it."""
        ...

    def __getitem__(self, index: Any) -> Any: ...


def _read_indexed(array: Any, index: Index) -> NDArray[np.generic]:
    return np.asarray(array[index])


def _read_dask(array: Any, index: Index) -> NDArray[np.generic]:
    from dask.base import get_scheduler

    # Dask's default pool would be made anew for each thread that reads ahead.
    # A scheduler the user chose, a cluster for instance, is respected.
    scheduler = get_scheduler() or "synchronous"  # type: ignore[no-untyped-call]
    return np.asarray(array[index].compute(scheduler=scheduler))


_READERS: dict[str, Callable[[Any, Index], NDArray[np.generic]]] = {
    "dask": _read_dask,
    "numpy": _read_indexed,
    "zarr": _read_indexed,
}


def read_array(array: LazyArray, index: Index) -> NDArray[np.generic]:
    """Read `array[index]` into memory.

    Parameters
    ----------
    array
        The array.
    index
        An integer or slice for each dimension.

    Returns
    -------
    ndarray
        Native byte order; may share memory with `array`.
    """
    library = type(array).__module__.partition(".")[0]
    values = _READERS.get(library, _read_indexed)(array, index)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def full_resolution(images: object, name: str) -> LazyArray:
    """Return `images`, or level 0 if it is a list of levels.

    Parameters
    ----------
    images
        An array, or the levels of a multiscale image, largest first.
    name
        What the stack is called in messages.

    Raises
    ------
    FramesError
        If it is neither, or doesn't hold real numbers.
    """
    if isinstance(images, Sequence):
        images = _first_level(images, name)
    if not all(hasattr(images, attribute) for attribute in ("shape", "dtype", "__getitem__")):
        raise FramesError(
            f"'{name}' is a {type(images).__name__}; expected a numpy, dask or zarr array "
            "(T, Y, X), or a list of such levels. Open files with napari_vos.open_frames."
        )
    array = cast("LazyArray", images)
    if not all(isinstance(length, int | np.integer) for length in array.shape):
        raise FramesError(
            f"'{name}' has the shape {array.shape}; expected known lengths. "
            "Call its compute_chunk_sizes() first."
        )
    if np.dtype(array.dtype).kind not in "buif":
        raise FramesError(
            f"'{name}' has dtype {array.dtype}; expected integers, floats or booleans. "
            "Convert it first, complex numbers for instance to their magnitude."
        )
    return array


def _first_level(levels: Sequence[Any], name: str) -> object:
    if not levels:
        raise FramesError(f"'{name}' is an empty list; expected an array (T, Y, X).")
    shapes = [np.shape(level) for level in levels]
    if len(shapes) > 1 and np.prod(shapes[1]) >= np.prod(shapes[0]):
        raise FramesError(
            f"'{name}' is a list of arrays of shapes {shapes[0]}, {shapes[1]}, ...; expected the "
            "levels of a multiscale image, largest first. Join frames with numpy.stack or "
            "dask.array.stack."
        )
    return levels[0]

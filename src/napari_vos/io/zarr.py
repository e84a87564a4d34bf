"""Zarr arrays and OME-Zarr images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import zarr

from napari_vos.errors import FramesError

if TYPE_CHECKING:
    from pathlib import Path

_NAMES = {"time": "T", "channel": "C"} | {letter.lower(): letter for letter in "TCSZYX"}
_METADATA = ("zarr.json", ".zarray", ".zgroup")


def is_zarr(path: Path) -> bool:
    """Return whether `path` is a folder that holds a zarr array or group."""
    return any((path / name).is_file() for name in _METADATA)


def open_zarr(path: Path) -> tuple[zarr.Array[Any], str | None]:
    """Open a zarr array, or the full resolution of an OME-Zarr image.

    Returns
    -------
    array, axes
        Axes as `FrameStack` takes them; None if the array doesn't say.

    Raises
    ------
    FramesError
        If it is neither, or damaged.
    """
    try:
        node = zarr.open(path, mode="r")
        if isinstance(node, zarr.Array):
            return node, _array_axes(node)
        return _open_group(path, node)
    except FramesError:
        raise
    except Exception as error:  # damaged metadata raise whatever they like
        raise FramesError(f"Can't open '{path}' as zarr: {error}") from error


def _open_group(path: Path, group: zarr.Group) -> tuple[zarr.Array[Any], str | None]:
    attributes: Any = group.attrs.asdict()
    multiscales = attributes.get("ome", attributes).get("multiscales")
    if multiscales:
        array = group[multiscales[0]["datasets"][0]["path"]]
        axes = multiscales[0].get("axes", "tczyx")
        names = [axis["name"] if isinstance(axis, dict) else axis for axis in axes]
        if isinstance(array, zarr.Array):
            return array, _letters(names)
    arrays = dict(group.arrays())
    if len(arrays) == 1:
        array = next(iter(arrays.values()))
        return array, _array_axes(array)
    raise FramesError(
        f"'{path}' is a zarr group of {sorted(group.keys())}; expected an array or an OME-Zarr "
        "image. Name the one that holds the frames."
    )


def _array_axes(array: zarr.Array[Any]) -> str | None:
    names: Any = getattr(array.metadata, "dimension_names", None)
    attributes: Any = array.attrs.asdict()
    return _letters(names or attributes.get("_ARRAY_DIMENSIONS", []))


def _letters(names: Iterable[str | None]) -> str | None:
    """Return one letter per name; None if a name is missing or not known."""
    letters = [_NAMES.get(str(name).lower(), "") for name in names]
    return "".join(letters) if letters and all(letters) else None

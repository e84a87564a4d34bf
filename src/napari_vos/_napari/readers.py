"""Opening a session's folder as layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array
import numpy as np
import zarr
from napari.utils.notifications import show_warning

from napari_vos._napari.folders import is_session
from napari_vos._napari.snapshot import METADATA
from napari_vos.errors import FramesError
from napari_vos.io import open_frames
from napari_vos.store.folder import SessionFolder

if TYPE_CHECKING:
    from napari_vos.frames import FrameStack

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """Return `read_session` if `path` is a session's folder."""
    if isinstance(path, str) and is_session(Path(path)):
        return read_session
    return None


def read_session(path: str | list[str]) -> list[LayerData]:
    """Return a session's images, if they are where they were, and its labels.

    Raises
    ------
    StoreError
        If the session is damaged.
    """
    folder = Path(path if isinstance(path, str) else path[0]).absolute()
    about = SessionFolder.open(folder, read_only=True).about["frames"]
    labels = zarr.open_array(folder / "labels.zarr", mode="r+")
    metadata = {METADATA: {"session": str(folder)}}
    name = Path(about["name"]).name
    layers: list[LayerData] = [
        (labels, {"name": f"{name} results", "metadata": metadata}, "labels")
    ]
    if about["path"] is None:
        show_warning(f"The session was made from an array ('{name}'): open that too.")
        return layers
    try:
        frames = open_frames(about["path"], axes=about["axes"], channels=about["channels"])
    except FramesError as error:
        show_warning(f"The session's images can't be opened: {error} Open them yourself.")
        return layers
    image = {"name": name, "axis_labels": ("t", "y", "x")}
    if frames.n_channels > 1:
        return [(_lazy(frames), {"name": name, "channel_axis": 1}, "image"), *layers]
    return [(_lazy(frames)[:, 0], image, "image"), *layers]


def _lazy(frames: FrameStack) -> dask.array.Array:
    """Return (T, C, Y, X), read frame by frame."""

    def read(block_info: dict[Any, Any]) -> np.ndarray[Any, Any]:
        return frames.read(block_info[None]["chunk-location"][0])[None]

    rest = (frames.n_channels, *frames.shape)
    stack: dask.array.Array = dask.array.map_blocks(  # type: ignore[no-untyped-call]
        read,
        chunks=((1,) * frames.n_frames, *((length,) for length in rest)),
        dtype=frames.dtype,
        meta=np.empty((0, 0, 0, 0), frames.dtype),
    )
    return stack

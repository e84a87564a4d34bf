"""Opening a session's folder as layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array
import numpy as np
import zarr
from napari.utils.notifications import show_warning

from napari_vos._napari.folders import is_session
from napari_vos._napari.placement import placement_of
from napari_vos._napari.snapshot import AXES, METADATA
from napari_vos._napari.spread import spread
from napari_vos.errors import FramesError
from napari_vos.session.images import reopen_frames
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

    They lie where they lay in the last window that showed them.

    Raises
    ------
    StoreError
        If the session is damaged.
    """
    folder = Path(path if isinstance(path, str) else path[0]).absolute()
    about = SessionFolder.open(folder, read_only=True).about
    frames = _open_images(about["frames"])
    if "placement" in about:
        letters, shape = about["placement"]["axes"], tuple(about["placement"]["shape"])
        placement = placement_of(about["placement"])
    else:
        letters, shape = _lay_out(about["frames"], frames)
        placement = {"axis_labels": tuple(letters.lower())}
    name = Path(about["frames"]["name"]).name
    labels = spread(zarr.open_array(folder / "labels.zarr", mode="r+"), letters, shape)
    metadata = {METADATA: {"session": str(folder), AXES: letters}}
    results = {"name": f"{name} results", "metadata": metadata, **placement}
    layers: list[LayerData] = [(labels, results, "labels")]
    if frames is not None:
        is_colour = frames.n_channels > 1 and "C" not in letters
        images = _arrange(_lazy(frames), letters, is_colour=is_colour)
        layers.insert(0, (images, {"name": name, "rgb": is_colour, **placement}, "image"))
    return layers


def _open_images(about: Mapping[str, Any]) -> FrameStack | None:
    """Return a session's images; None, and tell, if they aren't there."""
    if about["path"] is None:
        show_warning(f"The session was made from an array ('{about['name']}'): open that too.")
        return None
    try:
        return reopen_frames(about)
    except FramesError as error:
        show_warning(f"The session's images can't be opened: {error} Open them yourself.")
        return None


def _lay_out(about: Mapping[str, Any], frames: FrameStack | None) -> tuple[str, tuple[int, ...]]:
    """Return the axes of layers that no window has placed yet, and their shape."""
    lengths = {"T": about["n_frames"], "Y": about["shape"][0], "X": about["shape"][1]}
    letters = "TYX"
    if frames is not None and frames.n_channels > 1 and not _is_colour(frames):
        letters, lengths["C"] = "TCYX", frames.n_channels
    return letters, tuple(lengths[letter] for letter in letters)


def _is_colour(frames: FrameStack) -> bool:
    """Return whether the channels of images are red, green, blue and perhaps transparency."""
    return frames.axes.endswith("C") and frames.n_channels in (3, 4)


def _arrange(images: dask.array.Array, letters: str, *, is_colour: bool) -> dask.array.Array:
    """Return (T, C, Y, X) with other axes; colour comes last."""
    wanted = letters.replace("-", "") + ("C" if is_colour else "")
    if "C" not in wanted:
        images = images[:, 0]
    order = [letter for letter in "TCYX" if letter in wanted]
    axes = [order.index(letter) for letter in wanted]
    images = images.transpose(axes)  # type: ignore[no-untyped-call]
    for axis, letter in enumerate(letters):
        if letter == "-":
            images = dask.array.expand_dims(images, axis)
    return images


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

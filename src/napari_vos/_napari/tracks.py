"""The tracks of a session as a layer, with the lineage that was accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Tracks

from napari_vos.errors import FramesError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_vos._napari.snapshot import ImageSnapshot


def show_tracks(
    viewer: ViewerModel,
    image: ImageSnapshot,
    data: NDArray[np.float64],
    graph: Mapping[int, list[int]],
) -> None:
    """Show tracks where their images lie, instead of those shown before.

    Parameters
    ----------
    viewer
        Where to show them.
    image
        The images.
    data, graph
        See `Session.tracks`.

    Raises
    ------
    FramesError
        If there are none, or time isn't the first axis of the images.
    """
    if not len(data):
        raise FramesError(f"'{image.name}' has no tracks yet. Propagate the masks of a frame.")
    if not image.letters.startswith("T"):
        raise FramesError(
            f"The axes of '{image.name}' are in the order {image.letters}; tracks need time first. "
            "Transpose the array."
        )
    columns = np.zeros((len(data), 1 + len(image.letters)))
    columns[:, 0] = data[:, 0]
    for letter, values in zip("TYX", data[:, 1:].T, strict=True):
        columns[:, 1 + image.letters.index(letter)] = values
    name = f"{image.name} tracks"
    if name in viewer.layers:
        viewer.layers.remove(name)
    viewer.add_layer(Tracks(columns, graph=dict(graph), name=name, **image.placement))

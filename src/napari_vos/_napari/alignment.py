"""Whether a labels layer lies on the images, pixel for pixel. Main thread only."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.transforms import Affine

from napari_vos.errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_vos._napari.snapshot import ImageSnapshot

_TRANSFORMS = ("scale", "translate", "rotate", "shear", "affine")
"""What says where a layer lies."""


def check_alignment(layer: Labels, letters: str, image: ImageSnapshot) -> None:
    """Check that each pixel of labels lies on the pixel of the images with its indices.

    Of a layer with fewer axes than the images, rows and columns alone are compared: a
    window can't show it at their frames.

    Parameters
    ----------
    layer
        Of the images' size.
    letters
        One for each of its axes.
    image
        The images.

    Raises
    ------
    PromptError
        If it lies elsewhere by half a pixel or more.
    """
    placement = {name: getattr(layer, name) for name in _TRANSFORMS}
    compared = range(len(letters))
    here, there = list(compared), list(compared)
    if len(letters) != len(image.letters):
        here, there = ([axes.index(letter) for letter in "YX"] for axes in (letters, image.letters))
    ends = [(0, image.shape[axis] - 1) for axis in there]
    corners = np.array([(*corner, 1) for corner in product(*ends)]).T
    found = np.linalg.solve(_to_world(image.placement, there), _to_world(placement, here) @ corners)
    if np.abs(found - corners).max() >= 0.5:
        wanted = image.placement
        raise PromptError(
            f"The labels layer '{layer.name}' doesn't lie on the images '{image.name}': its scale "
            f"is {_some(placement['scale'], here)} and its translate "
            f"{_some(placement['translate'], here)}; expected {_some(wanted['scale'], there)} and "
            f"{_some(wanted['translate'], there)}, and the same rotation and shear. Press 'New "
            "labels' and paint there; or, if their pixels belong together, copy all transforms of "
            "the images and apply them to the labels, in the context menu of the layer list."
        )


def _to_world(placement: Mapping[str, Any], axes: Sequence[int]) -> NDArray[np.float64]:
    """Return the matrix from pixels to the world, of some axes."""
    own = {name: placement[name] for name in _TRANSFORMS if name != "affine"}
    matrix = np.asarray(placement["affine"]) @ Affine(**own).affine_matrix
    chosen = [*axes, len(matrix) - 1]
    return np.asarray(matrix[np.ix_(chosen, chosen)], np.float64)


def _some(values: Iterable[float], axes: Sequence[int]) -> str:
    numbers = list(values)
    return f"({', '.join(f'{numbers[axis]:g}' for axis in axes)})"

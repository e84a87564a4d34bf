"""The pixels that are about to change in a labels layer: shown, then changed or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_vos._napari.refinement import Pixels
from napari_vos._napari.snapshot import METADATA, WRITTEN, show_frame
from napari_vos.errors import FramesError

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_vos._napari.refinement import Changes
    from napari_vos._napari.snapshot import ImageSnapshot

JOINS, LEAVES, MOVES = 1, 2, 3
"""Labels of a preview: a pixel joins an object, becomes background, goes to another object."""

COLOURS = {JOINS: "lime", LEAVES: "magenta", MOVES: "yellow", None: "transparent"}


class Preview:
    """Changes of a labels layer, in a layer above it. Main thread only.

    Parameters
    ----------
    viewer
        Where to show them.
    image
        The images.
    target
        The layer they belong to.
    letters
        One letter per dimension of the layer.
    """

    def __init__(
        self, viewer: ViewerModel, image: ImageSnapshot, target: Labels, letters: str
    ) -> None:
        self.image = image
        self.target = target
        self._viewer = viewer
        self._letters = letters
        self._pixels: dict[int, Pixels] = {}
        self.layer = Labels(
            np.zeros(target.data.shape, np.uint8),
            name=f"{target.name} changes",
            scale=target.scale,
            translate=target.translate,
            rotate=target.rotate,
            shear=target.shear,
            affine=target.affine,
            units=target.units,
            axis_labels=target.axis_labels,
            colormap=DirectLabelColormap(color_dict=COLOURS),
            opacity=1.0,
        )
        self.layer.editable = False
        viewer.add_layer(self.layer)

    @property
    def n_pixels(self) -> int:
        """How many pixels change, on all frames."""
        return sum(len(pixels.before) for pixels in self._pixels.values())

    @property
    def frames(self) -> list[int]:
        """The frames on which any pixel changes."""
        return sorted(t for t, pixels in self._pixels.items() if len(pixels.before))

    def show(self, changes: Changes) -> None:
        """Show what changes on a frame."""
        pixels = changes.within(self._letters, self.layer.data.shape)
        kinds = np.where(pixels.before == 0, JOINS, np.where(pixels.after == 0, LEAVES, MOVES))
        self._pixels[changes.t] = pixels
        self.layer.data[pixels.index] = kinds
        if self.layer in self._viewer.layers:
            self.layer.refresh()

    def apply(self) -> Pixels:
        """Make the changes; return those that were made, see `change_pixels`."""
        pixels = Pixels.join(list(self._pixels.values()))
        return change_pixels(self._viewer, self.image, self.target, pixels)

    def close(self) -> None:
        """Take the layer away, if it is still there."""
        if self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)


def change_pixels(
    viewer: ViewerModel, image: ImageSnapshot, layer: Labels, pixels: Pixels
) -> Pixels:
    """Change a labels layer in one step that napari can undo; return what was changed.

    What isn't as it was any more, since it was painted for instance, stays.

    Raises
    ------
    FramesError
        If the layer is gone, or can't be painted now.
    """
    if layer not in viewer.layers:
        raise FramesError(
            f"The labels layer '{layer.name}' was removed. There is nothing to change."
        )
    if not layer.editable or WRITTEN in layer.metadata.get(METADATA, {}):
        raise FramesError(
            f"'{layer.name}' can't be painted now. Wait until what is writing it has ended."
        )
    still = np.asarray(layer.data[pixels.index]) == pixels.before
    changed = pixels.chosen(still)
    layer.data_setitem(changed.index, changed.after)
    if METADATA in layer.metadata and len(changed.before):
        # A session hears of it as of a stroke, on the frame in view, on its results.
        show_frame(image, viewer, int(changed.index[image.letters.index("T")][0]))
        layer.events.paint(value=[])
    return changed

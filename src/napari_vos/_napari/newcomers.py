"""The labels layer in which newcomers are suggested."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels

from napari_vos._napari.snapshot import read_frame, show_frame
from napari_vos.store.evidence import window_of

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_vos._napari.snapshot import ImageSnapshot
    from napari_vos.session import Survey


class Suggestions:
    """Shows what a survey has found, for the user to erase, correct and accept. Main thread only.

    A newcomer has the label that will be its object's id. The features of the layer tell frame,
    score and proposed parent of each.

    Parameters
    ----------
    viewer
        Where to show them.
    image
        The images.
    survey
        With at least one newcomer.
    """

    def __init__(self, viewer: ViewerModel, image: ImageSnapshot, survey: Survey) -> None:
        self._viewer = viewer
        self._image = image
        self._survey = survey
        data = np.zeros(image.shape, np.uint16)
        others = [i for i, axis in enumerate(image.letters.replace("T", "")) if axis not in "YX"]
        for each in survey.newcomers:
            rows, columns = each.box.slices
            place: dict[str, int | slice] = {"T": each.t, "Y": rows, "X": columns}
            window = data[tuple(place.get(axis, slice(None)) for axis in image.letters)]
            mask = np.expand_dims(each.mask, others)
            window[np.broadcast_to(mask, window.shape)] = each.object_id
        self._layer = Labels(data, name=f"{image.name} newcomers", **image.placement)
        self._layer.features = {
            "index": [each.object_id for each in survey.newcomers],
            "frame": [each.t for each in survey.newcomers],
            "score": [each.score for each in survey.newcomers],
            "parent": [each.parent or 0 for each in survey.newcomers],
        }
        viewer.add_layer(self._layer)
        show_frame(image, viewer, survey.newcomers[0].t)

    @property
    def is_there(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self._layer in self._viewer.layers

    def accepted(self) -> Survey:
        """Return the survey with the newcomers that are left, as the user has painted them."""
        left = []
        for each in self._survey.newcomers:
            mask = read_frame(self._layer.data, self._image.letters, each.t) == each.object_id
            box = window_of(mask)
            if box is not None:
                left.append(replace(each, box=box, mask=mask[box.slices]))
        return replace(self._survey, newcomers=tuple(left))

    def remove(self) -> None:
        """Take the layer out of the window."""
        if self.is_there:
            self._viewer.layers.remove(self._layer)

"""The labels layer in which found instances appear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels

from napari_vos._napari.snapshot import ImageSnapshot, shown_frame

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_vos._napari.detection import Found
    from napari_vos.engines.base import FrameInstances


class InstanceLayer:
    """Shows instances where their images lie. Main thread only.

    Labels begin with 1 on each frame, the most certain instance first; the features
    of the layer are those of the frame in view. Once the user has painted, it is the
    user's, and nothing is written any more.

    Parameters
    ----------
    viewer
        Where to show them.
    image
        The images.
    weights
        Hash of the weights file that finds them.
    """

    def __init__(self, viewer: ViewerModel, image: ImageSnapshot, weights: str | None) -> None:
        self._viewer = viewer
        self._image = image
        self.weights = weights
        self._found: dict[int, FrameInstances] = {}
        self.is_ours = True
        self.layer = Labels(
            np.zeros(image.shape, np.uint16), name=f"{image.name} instances", **image.placement
        )
        viewer.add_layer(self.layer)
        self.layer.events.paint.connect(self.leave)
        viewer.dims.events.current_step.connect(self._show_features)

    @property
    def is_there(self) -> bool:
        """Whether the layer is still in the viewer, and may be written."""
        return self.is_ours and self.layer in self._viewer.layers

    @property
    def frames(self) -> list[int]:
        """The frames that were searched, that in view first."""
        shown = shown_frame(self._image, self._viewer)
        return sorted(self._found, key=lambda t: (t != shown, t))

    @property
    def n_instances(self) -> int:
        """Instances of all frames."""
        return sum(len(instances.scores) for instances in self._found.values())

    def show(self, found: Found) -> None:
        """Write the instances of a frame."""
        if not self.is_there:
            return
        self._found[found.t] = found.instances
        index = tuple(found.t if letter == "T" else slice(None) for letter in self._image.letters)
        labels = found.instances.labels
        extra = [i for i, axis in enumerate(self._image.letters.replace("T", "")) if axis == "C"]
        self.layer.data[index] = np.expand_dims(labels, extra)
        if shown_frame(self._image, self._viewer) in (found.t, None):
            self.layer.refresh()
            self._show_features()

    def leave(self, _: object = None) -> None:
        """Leave the layer to the user."""
        self.is_ours = False

    def _show_features(self, _: object = None) -> None:
        found = self._found.get(shown_frame(self._image, self._viewer) or 0)
        n_instances = 0 if found is None else len(found.scores)
        scores, classes = ((), ()) if found is None else (found.scores, found.classes)
        self.layer.features = {
            "index": np.arange(1, n_instances + 1),
            "score": np.asarray(scores, np.float32),
            "class": np.asarray(classes, np.int64),
        }

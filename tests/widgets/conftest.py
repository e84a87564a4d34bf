from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from napari_vos._napari.snapshot import METADATA
from napari_vos.widgets.propagate import PropagateWidget

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_vos.session import Finish


class Window(NamedTuple):
    """A viewer with the Propagate widget."""

    viewer: Any
    widget: PropagateWidget

    def press(self, name: str) -> None:
        getattr(self.widget, name).changed.emit(True)

    def finish(self) -> Finish | None:
        """Wait for the end of the run."""
        assert self.widget.run is not None
        return self.widget.run.wait(60)

    @property
    def results(self) -> Any:
        """The layer of the results."""
        return next(layer for layer in self.viewer.layers if METADATA in layer.metadata)

    @property
    def ids_by_frame(self) -> list[set[int]]:
        """The objects of the results."""
        return [{int(i) for i in np.unique(frame)} - {0} for frame in np.asarray(self.results.data)]

    @property
    def notices(self) -> str:
        """What the user was told."""
        return "\n".join(record.message for record in notification_manager.records)


@pytest.fixture
def add_widget(factory: Any, tmp_path: Path) -> Callable[[Any], Window]:
    """Add the widget to a viewer, with an engine without a network."""

    def add_widget(viewer: Any) -> Window:
        widget = PropagateWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Propagate")
        widget.form.folder.value = tmp_path / "session"
        notification_manager.records.clear()
        return Window(viewer, widget)

    return add_widget


@pytest.fixture
def window(
    make_napari_viewer: Any,
    add_widget: Callable[[Any], Window],
    images: np.ndarray,
    masks: np.ndarray,
) -> Window:
    """A window with images, masks and the widget."""
    viewer = make_napari_viewer()
    placement = {
        "scale": (2, 0.5, 0.5),
        "translate": (0, 3, 4),
        "axis_labels": ("t", "y", "x"),
        "units": ("s", "um", "um"),
    }
    viewer.add_image(images, name="phase", **placement)
    viewer.add_labels(masks, name="masks", **placement)
    return add_widget(viewer)

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from napari.utils.key_bindings import KeyBinding
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QCoreApplication

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
        """Press a button, with the mouse: nothing happens if it is disabled."""
        panels = (self.widget, self.widget.review, self.widget.objects)
        button = next(getattr(each, name) for each in panels if hasattr(each, name))
        if button.enabled:
            button.changed.emit(True)

    def key(self, key: str) -> None:
        """Press a key."""
        self.viewer.keymap[KeyBinding.from_str(key)](self.viewer)

    def finish(self) -> Finish | None:
        """Wait until nothing goes on and nothing waits; return how the last run ended."""
        assert self.widget.is_busy or self.widget.run is not None
        end = monotonic() + 300
        while self.widget.is_busy and monotonic() < end:
            QCoreApplication.processEvents()
            sleep(0.001)
        assert self.widget.run is not None
        return self.widget.run.finish

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
        widget.draw.interactor.value = "random_walker"
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

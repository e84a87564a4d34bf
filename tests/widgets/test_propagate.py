from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_vos._napari.snapshot import METADATA
from napari_vos.session import Finish
from napari_vos.widgets.propagate import PropagateWidget

pytestmark = pytest.mark.gui


@pytest.fixture
def window(make_napari_viewer: Any, factory: Any, images: Any, masks: Any, tmp_path: Path) -> Any:
    """A window with images, masks and the widget."""
    viewer = make_napari_viewer()
    viewer.add_image(images, name="phase", scale=(2, 0.5, 0.5), translate=(0, 3, 4))
    viewer.add_labels(masks, name="masks", scale=(2, 0.5, 0.5), translate=(0, 3, 4))
    widget = PropagateWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Propagate")
    widget.form.folder.value = tmp_path / "session"
    return viewer, widget


def press(widget: PropagateWidget) -> Finish | None:
    widget.propagate.changed.emit(True)
    assert widget.run is not None
    return widget.run.wait(20)


def results(viewer: Any) -> Any:
    return next(layer for layer in viewer.layers if METADATA in layer.metadata)


def test_pressing_propagate_fills_all_frames(window: Any) -> None:
    viewer, widget = window
    assert press(widget) is Finish.COMPLETED
    layer = results(viewer)
    assert [set(np.unique(layer.data[t])) for t in range(12)] == [{0, 1, 7}] * 12
    np.testing.assert_allclose(layer.scale, (2, 0.5, 0.5))
    np.testing.assert_allclose(layer.translate, (0, 3, 4))
    assert widget.bar.value == widget.bar.max == 11
    assert widget.propagate.enabled
    assert not widget.cancel.enabled

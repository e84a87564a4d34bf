from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_vos import metrics
from napari_vos._napari.snapshot import METADATA
from napari_vos.session import Finish
from napari_vos.simulation import sample

pytestmark = pytest.mark.gui

LAST = 6


@pytest.mark.slow
def test_the_sample_is_propagated_with_the_weights_of_the_package(
    make_napari_viewer: Any, tmp_path: Path
) -> None:
    viewer = make_napari_viewer()
    viewer.open_sample("napari-vos", "nuclei")
    _, widget = viewer.window.add_plugin_dock_widget("napari-vos", "Propagate")
    widget.form.folder.value = tmp_path / "session"
    widget.form.last.value = LAST
    widget.propagate.changed.emit(True)
    widget.run.progressed.connect(lambda progress, _: progress.n_done == 3 and widget.run.cancel())
    assert widget.run.wait(300) is Finish.CANCELLED
    [layer] = [layer for layer in viewer.layers if METADATA in layer.metadata]
    kept = np.asarray(layer.data[:4])
    assert all(frame.any() for frame in kept)
    widget.propagate.changed.emit(True)
    assert widget.run.wait(300) is Finish.COMPLETED
    np.testing.assert_array_equal(layer.data[:4], kept)
    truth = sample("nuclei").labels
    result = np.asarray(layer.data[: LAST + 1])
    scores = metrics.evaluate(result, truth[: LAST + 1], prompts={0: truth[0]})
    assert scores.j > 0.8

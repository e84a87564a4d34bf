"""Make the pictures of finding cells and of training on labels in a real window.

See make_screenshots.py. A file named on the command line is used instead of the package's weights.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import napari
import numpy as np
from make_screenshots import IMAGES, settle, shoot
from superqt import QCollapsible

from napari_vos.simulation import sample

ANNOTATED = (0, 6, 12, 18, 24)


def main() -> None:
    viewer = napari.Viewer()
    viewer.window.resize(1280, 900)
    viewer.open_sample("napari-vos", "nuclei")
    viewer.layers["nuclei masks"].visible = False
    _, widget = viewer.window.add_plugin_dock_widget("napari-vos", "Detect instances")
    if len(sys.argv) > 1:
        widget.form.weights.value = Path(sys.argv[1])
    viewer.dims.set_point(0, 10)
    widget.detect.changed.emit(True)
    print(widget.search.wait(300))
    shoot(viewer, "detect")
    viewer.layers["nuclei instances"].selected_label = 1
    widget.explain.changed.emit(True)
    print(widget.search.wait(300))
    settle()
    widget.prototypes.grab().save(str(IMAGES / "prototypes.png"))
    widget.prototypes.close()

    viewer.layers["nuclei instances"].visible = False
    truth = sample("nuclei").labels
    painted = np.zeros_like(truth)
    painted[list(ANNOTATED)] = truth[list(ANNOTATED)]
    placement = viewer.layers["nuclei"]
    viewer.add_labels(
        painted, name="my cells", scale=placement.scale, translate=placement.translate
    )
    viewer.dims.set_point(0, ANNOTATED[1])
    widget.native.findChild(QCollapsible).expand(animate=False)
    panel = widget.training
    panel.painted.value = viewer.layers["my cells"]
    panel.minutes.value = 3
    with tempfile.TemporaryDirectory() as folder:
        panel.folder.value = Path(folder) / "my cells"
        panel.train.changed.emit(True)
        print(panel.work.wait(1800))
        print(panel.status.value)
        panel.folder.value = None
        shoot(viewer, "train_labels")
        viewer.close()


if __name__ == "__main__":
    main()

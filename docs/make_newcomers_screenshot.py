"""Make the picture of suggested newcomers in a real window; see make_screenshots.py."""

from __future__ import annotations

import tempfile
from pathlib import Path

import napari
from make_screenshots import settle, shoot
from qtpy.QtWidgets import QTabWidget


def main() -> None:
    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)
    viewer.open_sample("napari-vos", "nuclei")
    _, widget = viewer.window.add_plugin_dock_widget("napari-vos", "Propagate")
    tabs = widget.native.findChild(QTabWidget)
    tabs.setCurrentIndex([tabs.tabText(i) for i in range(tabs.count())].index("Newcomers"))
    widget.newcomers.mode.value = "suggest"
    widget.form.last.value = 10
    with tempfile.TemporaryDirectory() as folder:
        widget.form.folder.value = Path(folder) / "nuclei"
        widget.propagate.changed.emit(True)
        while "nuclei newcomers" not in viewer.layers:
            settle()
        while widget.is_busy:
            settle()
        viewer.layers["nuclei masks"].visible = False
        viewer.layers["nuclei results"].contour = 1
        layer = viewer.layers["nuclei newcomers"]
        viewer.dims.set_point(0, int(layer.features["frame"].iloc[0]))
        shoot(viewer, "newcomers")
        viewer.close()


if __name__ == "__main__":
    main()

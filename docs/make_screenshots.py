"""Make the tutorial's screenshots in a real window.

Run `python docs/make_screenshots.py` with a display; on a machine without one
`xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import napari
from qtpy.QtCore import QEventLoop, QTimer

IMAGES = Path(__file__).with_name("images")


def settle(milliseconds: int = 400) -> None:
    """Let the window draw itself."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def shoot(viewer: napari.Viewer, name: str) -> None:
    settle()
    viewer.screenshot(IMAGES / f"{name}.png", canvas_only=False, flash=False)


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)
    viewer.open_sample("napari-vos", "nuclei")
    _, widget = viewer.window.add_plugin_dock_widget("napari-vos", "Propagate")
    viewer.dims.set_point(0, 0)
    shoot(viewer, "masks")

    with tempfile.TemporaryDirectory() as folder:
        widget.form.folder.value = Path(folder) / "nuclei"
        widget.form.follow.value = True
        widget.propagate.changed.emit(True)
        widget.form.folder.value = None

        def shoot_midway(progress: object, pace: str) -> None:
            if progress.n_done == 15:
                QTimer.singleShot(0, lambda: shoot(viewer, "running"))

        widget.run.progressed.connect(shoot_midway)
        print(widget.run.wait())
        viewer.layers["nuclei masks"].visible = False
        viewer.dims.set_point(0, 29)
        shoot(viewer, "results")
        viewer.close()


if __name__ == "__main__":
    main()

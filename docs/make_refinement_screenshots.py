"""Make the pictures of refinement in a real window, before, in between and after.

Run `python docs/make_refinement_screenshots.py` with a display; on a machine without
one `xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_refinement_screenshots.py`.
"""

from __future__ import annotations

from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, QTimer

from napari_vos.simulation import sample

IMAGES = Path(__file__).with_name("images")
FACTOR = 4


def settle(milliseconds: int = 600) -> None:
    """Let the window draw itself."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def shoot(viewer: napari.Viewer, name: str, *, canvas_only: bool) -> None:
    settle()
    viewer.screenshot(IMAGES / f"{name}.png", canvas_only=canvas_only, flash=False)


def main() -> None:
    movie = sample("nuclei")
    small = movie.labels[:1, FACTOR // 2 :: FACTOR, FACTOR // 2 :: FACTOR]
    labels = small.repeat(FACTOR, axis=1).repeat(FACTOR, axis=2)
    labels = labels[:, : movie.labels.shape[1], : movie.labels.shape[2]]
    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)
    viewer.add_image(movie.images[:1], name="nuclei", axis_labels=("t", "y", "x"))
    layer = viewer.add_labels(np.ascontiguousarray(labels), name="masks", opacity=0.5)
    _, widget = viewer.window.add_plugin_dock_widget("napari-vos", "Refine edges")
    middle = [side / 2 for side in movie.images.shape[1:]]
    viewer.scene.camera.center, viewer.scene.camera.zoom = middle, 7
    shoot(viewer, "refine_before", canvas_only=True)

    widget.look.changed.emit(True)
    print(widget.search.wait(600))
    layer.opacity = 0.25
    shoot(viewer, "refine_preview", canvas_only=False)
    widget.apply.changed.emit(True)
    layer.opacity = 0.5
    shoot(viewer, "refine_after", canvas_only=True)
    viewer.close()


if __name__ == "__main__":
    main()

"""Make the tutorial's screenshots, and the animation of the front page, in a real window.

Run `python docs/make_screenshots.py` with a display; on a machine without one
`xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py`. With
"tutorial", "changes" or "animation" it makes these alone.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QEventLoop, QTimer
from scipy import ndimage

from napari_vos.simulation import sample

IMAGES = Path(__file__).with_name("images")
DRAWN = 4
LAST = 16
WIDTH = 800


def settle(milliseconds: int = 400) -> None:
    """Let the window draw itself."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def wait(widget: Any) -> None:
    """Wait until nothing goes on."""
    while widget.is_busy:
        settle(20)


def open_window(folder: Path) -> tuple[napari.Viewer, Any]:
    """Return a window with the sample movie and the widget."""
    viewer = napari.Viewer()
    viewer.window.resize(1280, 900)
    viewer.open_sample("napari-vos", "nuclei")
    _, widget = viewer.window.add_plugin_dock_widget("napari-vos", "Propagate")
    widget.form.folder.value = folder / "nuclei"
    viewer.dims.set_point(0, 0)
    return viewer, widget


def shoot(viewer: napari.Viewer, name: str) -> None:
    settle()
    viewer.screenshot(IMAGES / f"{name}.png", canvas_only=False, flash=False)


def in_the_middle(mask: np.ndarray) -> bool:
    """Return whether all of an object lies where the canvas shows it."""
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    return bool(
        len(rows)
        and 0.03 * height < rows.min()
        and rows.max() < 0.97 * height
        and 0.17 * width < columns.min()
        and columns.max() < 0.83 * width
    )


def alone(labels: np.ndarray) -> list[int]:
    """Return the objects in the middle of a frame that touch no other, the largest first."""
    found = {}
    for i in np.unique(labels)[1:]:
        mask = labels == i
        around = labels[ndimage.binary_dilation(mask, iterations=3) & ~mask]
        if in_the_middle(mask) and not around.any():
            found[int(i)] = mask.sum()
    return sorted(found, key=lambda i: -found[i])


def worst(results: np.ndarray, truth: np.ndarray, frames: range) -> tuple[int, int]:
    """Return the frame and the object whose mask is furthest from the truth there."""
    shared: dict[tuple[int, int], float] = {}
    for t in frames:
        for i in np.unique(results[t])[1:]:
            mine, there = results[t] == i, truth[t] == i
            if in_the_middle(there) and (truth[LAST] == i).any():
                shared[t, int(i)] = (mine & there).sum() / (mine | there).sum()
    return min(shared, key=lambda key: shared[key])


def paint(layer: Any, t: int, mask: np.ndarray, label: int) -> None:
    """Paint pixels of a frame, in one stroke."""
    layer.data_setitem((np.full(mask.sum(), t), *np.nonzero(mask)), label)


def make_tutorial(folder: Path) -> None:
    """Show the movie, a run half-way, and its end."""
    viewer, widget = open_window(folder)
    shoot(viewer, "masks")
    widget.form.follow.value = True
    widget.propagate.changed.emit(True)

    def shoot_midway(progress: Any, pace: str) -> None:
        if progress.n_done == 15:
            QTimer.singleShot(0, lambda: shoot(viewer, "running"))

    widget.run.progressed.connect(shoot_midway)
    wait(widget)
    viewer.layers["nuclei masks"].visible = False
    viewer.dims.set_point(0, 29)
    shoot(viewer, "results")
    viewer.close()


def make_changes(folder: Path) -> None:
    """Correct the worst object of all, and show what has changed two frames later."""
    viewer, widget = open_window(folder)
    widget.form.last.value = LAST
    widget.propagate.changed.emit(True)
    wait(widget)
    viewer.layers["nuclei masks"].visible = False
    layer, truth = viewer.layers["nuclei results"], sample("nuclei").labels
    t, i = worst(np.asarray(layer.data[: LAST + 1]), truth, range(4, LAST - 3))
    viewer.dims.set_point(0, t)
    viewer.layers.selection.active = layer
    layer.selected_label = i
    paint(layer, t, np.asarray(layer.data[t]) == i, 0)
    paint(layer, t, truth[t] == i, i)
    widget.propagate.changed.emit(True)
    wait(widget)
    viewer.dims.set_point(0, t + 1)
    row, column = np.argwhere(truth[t] == i).mean(axis=0)
    viewer.camera.center = (0, row, column)
    viewer.camera.zoom *= 2.5
    shoot(viewer, "changes")
    viewer.close()


class Recorder:
    """Takes pictures of a window and writes them as an animation."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._pictures: list[Image.Image] = []
        self._milliseconds: list[int] = []
        self._is_taking = False

    def take(self, milliseconds: int = 120) -> None:
        if self._is_taking:  # the window lives on while it draws itself
            return
        self._is_taking = True
        settle(30)
        self._is_taking = False
        picture = Image.fromarray(self._viewer.screenshot(canvas_only=False, flash=False))
        height = round(picture.height * WIDTH / picture.width)
        self._pictures.append(picture.convert("RGB").resize((WIDTH, height), Image.LANCZOS))
        self._milliseconds.append(milliseconds)

    def write(self, path: Path) -> None:
        self._pictures[0].save(
            path,
            save_all=True,
            append_images=self._pictures[1:],
            duration=self._milliseconds,
            loop=0,
            quality=60,
        )


def make_animation(folder: Path) -> None:
    """Scribble on some nuclei, propagate, go to a doubtful frame, correct."""
    viewer, widget = open_window(folder)
    del viewer.layers["nuclei masks"]
    truth = sample("nuclei").labels
    recorder = Recorder(viewer)
    widget.draw.new_layers["scribbles"].changed.emit(True)
    recorder.take(800)
    for object_id in alone(truth[0])[:DRAWN]:
        scribble(widget, recorder, truth, 0, object_id)
    widget.form.last.value = LAST
    widget.form.follow.value = True
    widget.propagate.changed.emit(True)
    widget.run.progressed.connect(
        lambda progress, _: progress.n_done % 2 and QTimer.singleShot(0, recorder.take)
    )
    wait(widget)
    widget.form.follow.value = False
    recorder.take(1200)
    widget.automatic.value = True
    results = np.asarray(viewer.layers["nuclei results"].data[: LAST + 1])
    t, object_id = worst(results, truth, range(4, LAST - 3))
    widget.timeline.chosen.emit(t)
    recorder.take(1000)
    scribble(widget, recorder, truth, t, object_id)
    for shown in range(t, t + 4):
        viewer.dims.set_point(0, shown)
        recorder.take(500)
    recorder.take(1500)
    recorder.write(IMAGES / "loop.webp")
    viewer.close()


def scribble(widget: Any, recorder: Recorder, truth: np.ndarray, t: int, object_id: int) -> None:
    """Draw a stroke through the middle of an object, as slowly as a hand does."""
    layer = widget.draw.layer.value
    widget.draw.object_id.value = object_id
    rows, columns = np.nonzero(truth[t] == object_id)
    row = round(rows.mean())
    left, right = np.percentile(columns[rows == row], (25, 75))
    with layer.block_history():
        for column in np.linspace(left, right, 3):
            layer.paint((t, row, round(column)), object_id)
            recorder.take()
    wait(widget)
    recorder.take(400)


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    made = {"tutorial": make_tutorial, "changes": make_changes, "animation": make_animation}
    for name in sys.argv[1:] or made:
        with tempfile.TemporaryDirectory() as folder:
            made[name](Path(folder))


if __name__ == "__main__":
    main()

"""How long it takes from the end of a stroke to its mask on the screen.

Nuclei on frames of 1024 x 1024 pixels get one stroke each in a real window, one after
the other. The clock starts when the stroke ends and stops when the canvas has drawn
the new mask. The first stroke, which opens the session and loads the network, is told
apart.

Run `OMP_NUM_THREADS=2 python benchmarks/latency.py` with a display, or under `xvfb-run`;
`--interactor random_walker` measures another one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QCoreApplication

from napari_vos.simulation import Modality, random_scenario, simulate

LIMIT_MS = 300
N_STROKES = 20

DRAWING_SECONDS = 4
"""From the layer for strokes to the end of the first one: what is needed is loaded meanwhile."""


def stroke(viewer: napari.Viewer, widget: Any, row: float, column: float, object_id: int) -> float:
    """Return the seconds from the end of a stroke to its mask on the canvas."""
    widget.draw.object_id.value = object_id
    began = perf_counter()
    line = np.array([(0, row, column - 4), (0, row, column + 4)])
    widget.draw.layer.value.add_paths(line, edge_width=3)
    while widget.is_busy:
        QCoreApplication.processEvents()
    viewer.screenshot(canvas_only=True, flash=False)
    return perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--interactor", default="compact")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    scenario = random_scenario(rng, modality=Modality.FLUORESCENCE, shape=(1024, 1024), n_frames=2)
    movie = simulate(scenario, seed=0)
    viewer = napari.Viewer()
    viewer.add_image(movie.images, name="movie", axis_labels=("t", "y", "x"))
    _, widget = viewer.window.add_plugin_dock_widget("napari-vos", "Propagate")
    widget.draw.interactor.value = arguments.interactor
    viewer.dims.set_point(0, 0)
    ids = np.unique(movie.labels[0])[1 : N_STROKES + 2]
    with tempfile.TemporaryDirectory() as folder:
        widget.form.folder.value = Path(folder) / "session"
        widget.draw.new_layers["shapes"].changed.emit(True)
        ready = perf_counter() + DRAWING_SECONDS
        while perf_counter() < ready:
            QCoreApplication.processEvents()
        seconds = []
        for object_id in ids:
            middle = np.argwhere(movie.labels[0] == object_id).mean(axis=0)
            seconds.append(stroke(viewer, widget, *middle, int(object_id)))
        viewer.close()
    first, *others = 1000 * np.array(seconds)
    median, worst = np.percentile(others, (50, 95))
    print(
        json.dumps(
            {
                "interactor": arguments.interactor,
                "strokes": len(others),
                "first_ms": round(first),
                "median_ms": round(median),
                "p95_ms": round(worst),
                "limit_ms": LIMIT_MS,
                "within_limit": bool(worst <= LIMIT_MS),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()

"""How much a running propagation delays the window's event loop.

A timer fires every 10 ms while the slider is moved 20 times a second, as a user
scrubs. The gaps between its calls are measured twice, without and with a
propagation in the background. The 95th percentile may grow by 100 ms at most.

Run `python benchmarks/responsiveness.py` with a display, or under `xvfb-run`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, QTimer

LIMIT_MS = 100
TICK_MS = 10
SCRUB_MS = 50
IDLE_SECONDS = 10
LAST_FRAME = 10


class GapMeter:
    """Measures the gaps of the event loop while the slider moves."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._last = perf_counter()
        self._ticker, self._scrubber = QTimer(), QTimer()
        self._ticker.timeout.connect(self._tick)
        self._scrubber.timeout.connect(self._scrub)
        self._gaps: list[float] = []

    def measure(self, wait: Callable[[], object]) -> np.ndarray:
        """Return the gaps in ms while `wait` runs the event loop."""
        self._gaps, self._last = [], perf_counter()
        self._ticker.start(TICK_MS)
        self._scrubber.start(SCRUB_MS)
        wait()
        self._ticker.stop()
        self._scrubber.stop()
        return np.array(self._gaps) * 1000

    def _tick(self) -> None:
        now = perf_counter()
        self._gaps.append(now - self._last)
        self._last = now

    def _scrub(self) -> None:
        n_frames = int(self._viewer.dims.nsteps[0])
        self._viewer.dims.set_current_step(0, (self._viewer.dims.current_step[0] + 1) % n_frames)


def idle() -> None:
    loop = QEventLoop()
    QTimer.singleShot(IDLE_SECONDS * 1000, loop.quit)
    loop.exec()


def describe(gaps: np.ndarray) -> dict[str, float]:
    values = np.percentile(gaps, (50, 95, 99))
    names = ("median_ms", "p95_ms", "p99_ms")
    return dict(zip(names, values.round(1).tolist(), strict=True))


def main() -> None:
    viewer = napari.Viewer()
    viewer.open_sample("napari-vos", "nuclei")
    _, widget = viewer.window.add_plugin_dock_widget("napari-vos", "Propagate")
    meter = GapMeter(viewer)
    idle()
    still = meter.measure(idle)
    with tempfile.TemporaryDirectory() as folder:
        widget.form.folder.value = Path(folder) / "session"
        widget.form.last.value = LAST_FRAME
        widget.propagate.changed.emit(True)
        running = meter.measure(widget.run.wait)
        added = float(np.percentile(running, 95) - np.percentile(still, 95))
        print(
            json.dumps(
                {
                    "idle": describe(still),
                    "running": describe(running),
                    "added_p95_ms": round(added, 1),
                    "limit_ms": LIMIT_MS,
                    "within_limit": added <= LIMIT_MS,
                },
                indent=2,
            )
        )
        viewer.close()


if __name__ == "__main__":
    main()

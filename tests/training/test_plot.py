from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageColor

from napari_vos.training.plot import COLOURS, write_plot


def places(path: Path, colour: str) -> np.ndarray:
    """Return rows and columns of the pixels of a colour, below the legend."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    found = np.argwhere((pixels == ImageColor.getrgb(colour)).all(axis=2))
    return found[found[:, 0] > 32]


def test_lines_run_over_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "progress.png"
    write_plot(path, {"loss": [(0, 8.0), (5, 4.0), (10, 2.0)], "AP50": [(0, 0.2), (5, 0.2)]})
    loss, precision = places(path, COLOURS[0]), places(path, COLOURS[1])
    left, right = loss[loss[:, 1] < 100], loss[loss[:, 1] > 540]
    assert left[:, 0].mean() < 120
    assert right[:, 0].mean() > 220
    assert 310 < precision[:, 1].max() < 330
    assert np.ptp(precision[:, 0]) < 10


def test_nothing_yet(tmp_path: Path) -> None:
    path = tmp_path / "progress.png"
    write_plot(path, {"loss": []})
    assert len(places(path, COLOURS[0])) == 0
    write_plot(path, {"loss": [(0, 3.0)]})
    assert len(places(path, COLOURS[0])) > 0

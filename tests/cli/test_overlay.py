from __future__ import annotations

import numpy as np
from PIL import Image

from napari_vos.cli.overlay import object_colours, write_overlay


def test_every_frame_is_drawn(tmp_path):
    images = np.full((3, 20, 30), 0.5, np.float32)
    labels = np.zeros((3, 20, 30), np.uint16)
    for t in range(3):
        labels[t, 4:12, 4 + 5 * t : 12 + 5 * t] = 7
    write_overlay(tmp_path / "overlay.gif", images, labels)
    with Image.open(tmp_path / "overlay.gif") as picture:
        assert picture.n_frames == 3
        assert picture.size == (30, 20)
        picture.seek(2)
        drawn = np.asarray(picture.convert("RGB")).astype(int)
    assert np.ptp(drawn[8, 25]) < 20
    colour = 255 * object_colours(7)[7]
    assert np.abs(drawn[4, 16] - colour).max() < 40


def test_neighbouring_ids_differ():
    colours = object_colours(50)
    assert colours.shape == (51, 3)
    assert (np.abs(np.diff(colours, axis=0)).max(axis=1) > 0.3).all()

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_vos.widgets.timeline import (
    ACCEPTED,
    BACKGROUND,
    EMPTY,
    END,
    PENDING,
    ROWS,
    USER,
    draw_columns,
)


def overview(n_frames: int, **fields: Any) -> Any:
    nothing = np.zeros(n_frames, np.bool_)
    said = {
        "n_frames": n_frames,
        "confidence": np.full(n_frames, np.nan, np.float32),
        "is_marked": nothing,
        "is_accepted": nothing,
        "has_end": nothing,
        "is_pending": nothing,
        **fields,
    }
    return SimpleNamespace(**said)


def at(n_frames: int, *frames: int) -> np.ndarray:
    where = np.zeros(n_frames, np.bool_)
    where[list(frames)] = True
    return where


def row(picture: np.ndarray, name: str) -> np.ndarray:
    return picture[ROWS[name].start]


def test_a_frame_is_as_wide_as_it_can_be() -> None:
    confidence = np.array([1, 0.9, 0.4, np.nan], np.float32)
    picture = draw_columns(
        overview(4, confidence=confidence, is_marked=at(4, 0), has_end=at(4, 2)), 200
    )
    frames = row(picture, "frames").reshape(4, 50, 3)
    assert (frames == frames[:, :1]).all()
    assert [tuple(colour) for colour in frames[:, 0]] == [
        (69, 117, 180),
        tuple(frames[1, 0]),
        (215, 48, 39),
        EMPTY,
    ]
    assert (row(picture, "user")[:50] == USER).all()
    assert (row(picture, "user")[50:] == BACKGROUND).all()
    assert (row(picture, "ends")[100:150] == END).all()


def test_one_frame_of_thousands_is_seen() -> None:
    n_frames = 10_000
    confidence = np.ones(n_frames, np.float32)
    confidence[7_777] = 0.3
    found = overview(
        n_frames,
        confidence=confidence,
        is_marked=at(n_frames, 5_001),
        is_accepted=at(n_frames, 9_999),
        is_pending=at(n_frames, 2_345),
    )
    picture = draw_columns(found, 400)
    frames = row(picture, "frames")
    assert (frames[311] == (215, 48, 39)).all()  # 7777 / 25
    assert (frames[93] == PENDING).all()
    assert (row(picture, "user")[200] == USER).all()
    assert (row(picture, "accepted")[399] == ACCEPTED).all()
    assert (row(picture, "accepted")[:399] == BACKGROUND).all()


@pytest.mark.gui
def test_a_click_goes_to_the_frame(qtbot: Any) -> None:
    from napari_vos.widgets.timeline import Timeline

    timeline = Timeline()
    qtbot.addWidget(timeline)
    timeline.resize(300, 34)
    assert timeline.frame_at(10) is None
    chosen: list[int] = []
    timeline.chosen.connect(chosen.append)
    timeline.show_overview(overview(30))
    for t in (0, 12, 29):
        middle = QPoint(round(timeline.position_of(t)), 15)
        qtbot.mouseClick(timeline, Qt.MouseButton.LeftButton, pos=middle)
    assert chosen == [0, 12, 29]
    assert timeline.frame_at(5_000) == 29

"""What is painted on results is held, taken and put back; no window is needed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_vos._napari.corrections import Corrections
from napari_vos._napari.snapshot import METADATA

FOLDER = Path("session")


class FakeSession:
    def __init__(self) -> None:
        self.held: Counter[int] = Counter()

    def hold_labels(self, t: int) -> None:
        self.held[t] += 1

    def release_labels(self, t: int) -> None:
        self.held[t] -= 1


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def layer() -> Labels:
    return Labels(np.zeros((4, 8, 9), np.uint16), metadata={METADATA: {"session": str(FOLDER)}})


@pytest.fixture
def corrections(session: FakeSession, layer: Labels) -> Corrections:
    viewer = ViewerModel()
    viewer.add_layer(layer)
    viewer.dims.set_point(0, 2)
    return Corrections(viewer, lambda folder: session if folder == FOLDER else None)  # type: ignore[arg-type,return-value]


def press(layer: Labels) -> tuple[Any, Any]:
    event = SimpleNamespace(type="mouse_press")
    drag = layer.mouse_drag_callbacks[0](layer, event)
    next(drag, None)
    return drag, event


def test_the_frame_under_the_brush_is_held_and_taken_when_the_stroke_has_ended(
    corrections: Corrections, session: FakeSession, layer: Labels
) -> None:
    heard: list[int] = []
    corrections.painted.connect(lambda: heard.append(1))
    layer.mode = "paint"
    drag, event = press(layer)
    assert session.held[2] == 1
    assert corrections.take(FOLDER) == {}
    event.type = "mouse_move"
    next(drag)
    assert not heard
    event.type = "mouse_release"
    assert next(drag, None) is None
    assert heard
    (painted,) = corrections.take(FOLDER).values()
    assert painted.is_held
    assert corrections.take(FOLDER) == {}
    layer.mode = "pick"
    press(layer)
    assert session.held[2] == 1


def test_all_frames_that_are_set_are_known(corrections: Corrections, layer: Labels) -> None:
    layer.data_setitem((np.array([0, 3, 3]), np.array([1, 1, 2]), np.array([1, 1, 2])), 5)
    taken = corrections.take(FOLDER)
    assert sorted(taken) == [0, 3]
    assert np.argwhere(taken[3].labels).tolist() == [[1, 1], [2, 2]]


def test_the_brush_and_the_bucket_tell_their_frame(corrections: Corrections, layer: Labels) -> None:
    layer.paint((2, 3, 3), 5)
    assert np.argwhere(corrections.take(FOLDER)[2].labels == 5).size
    layer.fill((2, 7, 8), 6)
    assert list(corrections.take(FOLDER)) == [2]


def test_what_could_not_be_told_is_put_back_and_held_once(
    corrections: Corrections, session: FakeSession, layer: Labels
) -> None:
    corrections.is_rough = True
    corrections.note(FOLDER, [2])
    taken = corrections.take(FOLDER)
    corrections.is_rough = False
    corrections.note(FOLDER, [2])  # another stroke meanwhile
    assert session.held[2] == 2
    corrections.put_back(FOLDER, taken)
    assert session.held[2] == 1
    (painted,) = corrections.take(FOLDER).values()
    assert painted.is_held
    assert painted.is_rough


def test_what_is_untold_at_the_end_is_handed_over(corrections: Corrections, layer: Labels) -> None:
    corrections.note(FOLDER, [1])
    assert list(corrections.leave()[FOLDER]) == [1]
    assert len(layer.mouse_drag_callbacks) == len(Labels(layer.data).mouse_drag_callbacks)

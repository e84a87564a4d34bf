"""Newcomers, parents and tracks from the window, without networks."""

from __future__ import annotations

import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from napari.layers import Tracks

from napari_vos.engines.base import FrameInstances
from napari_vos.session import Finish

pytestmark = pytest.mark.gui

SHAPE = (24, 40)


class Eyes:
    """Sees two cells, one in the middle and one below, from frame 5 on."""

    plan: dict[str, object] = {}  # noqa: RUF012

    def __init__(self, fake: ModuleType) -> None:
        self.fake = fake
        self.looked: list[int] = []
        self.asked: list[dict[str, Any]] = []
        self.shown: np.ndarray | None = None  # labels (T, Y, X) to see instead

    def __call__(self, name: str, frames: Any, **arguments: Any) -> Eyes:
        self.asked.append(arguments)
        return self

    def detect(self, t: int) -> Eyes:
        assert threading.current_thread() is not threading.main_thread()
        self.looked.append(t)
        return self

    def instances(self, *, score: float, overlap: float) -> FrameInstances:
        if self.shown is not None:
            ids, labels = np.unique(self.shown[self.looked[-1]], return_inverse=True)
            scores = np.full(len(ids) - 1, 0.9, np.float32)
            labels = labels.reshape(SHAPE).astype(np.uint16)
            return FrameInstances(labels, scores, scores.astype(int), np.zeros((len(scores), 4)))
        is_there = self.looked[-1] >= 5 and score < 0.9
        corners = {"o1": (7, 20 + self.looked[-1]), "o2": (19, 4)} if is_there else {}
        n = len(corners)
        scores = np.full(n, 0.9, np.float32)
        labels = self.fake.blocks(SHAPE, **corners)
        return FrameInstances(labels, scores, scores.astype(int), np.zeros((n, 4), np.float32))


@pytest.fixture
def eyes(fake: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Eyes:
    eyes = Eyes(fake)
    monkeypatch.setattr("napari_vos.engines.create_detector", eyes)
    return eyes


def press(window: Any, name: str) -> Finish | None:
    """Press a button of the panel, and wait for what it does."""
    button = getattr(window.widget.newcomers, name)
    assert button.enabled
    button.changed.emit(True)
    return window.finish()


def finish_twice(window: Any) -> None:
    """Wait for a propagation, and for what comes after it."""
    first = window.widget.run
    window.finish()
    while window.widget.run is first:
        from qtpy.QtCore import QCoreApplication

        QCoreApplication.processEvents()
    window.finish()


def test_newcomers_are_suggested_erased_and_accepted(window: Any, eyes: Eyes) -> None:
    viewer, panel = window.viewer, window.widget.newcomers
    assert not panel.find.enabled
    panel.mode.value = "suggest"
    window.press("propagate")
    finish_twice(window)
    assert eyes.looked == [0, 5, 10]
    layer = viewer.layers["phase newcomers"]
    assert set(np.unique(layer.data[5])) == {0, 8, 9}
    np.testing.assert_allclose(layer.scale, viewer.layers["phase"].scale)
    assert layer.features["frame"].tolist()[:2] == [5, 5]
    assert "newcomers: erase what is none, and accept" in window.widget.status.value
    assert window.ids_by_frame == [{1, 7}] * 12
    layer.data[layer.data == 9] = 0
    layer.data[5, 6, 24:30] = 8
    assert press(window, "accept") is Finish.COMPLETED
    assert all(8 in ids and 9 not in ids for ids in window.ids_by_frame)
    assert (np.asarray(window.results.data)[5, 6, 25:29] == 8).all()
    assert "phase newcomers" not in viewer.layers
    assert not panel.accept.enabled
    window.press("undo")
    window.finish()
    window.press("undo")
    window.finish()
    assert window.ids_by_frame == [{1, 7}] * 12


def test_newcomers_are_followed_automatically(window: Any, eyes: Eyes) -> None:
    panel = window.widget.newcomers
    panel.mode.value, panel.every.value = "automatic", 6
    window.press("propagate")
    finish_twice(window)
    assert eyes.looked == [0, 6]
    assert window.ids_by_frame[6] == {1, 7, 8, 9}
    assert window.widget.status.value == "2 newcomers are followed."
    assert "phase newcomers" not in window.viewer.layers


def test_newcomers_are_followed_within_the_chosen_frames(window: Any, eyes: Eyes) -> None:
    window.widget.newcomers.mode.value = "automatic"
    window.widget.form.last.value = 6
    window.press("propagate")
    finish_twice(window)
    assert eyes.looked == [0, 5]
    assert all({1, 7, 8} <= ids for ids in window.ids_by_frame[:7])
    assert window.ids_by_frame[7:] == [set()] * 5


@pytest.mark.parametrize("mode", ["suggest", "automatic"])
def test_objects_are_confirmed_though_there_are_no_newcomers(
    window: Any, eyes: Eyes, mode: str
) -> None:
    window.press("propagate")
    window.finish()
    session = window.widget._chosen.aim().session
    old, eyes.shown = session.confidence, np.asarray(session.labels[:])
    window.press("undo")
    window.finish()
    window.widget.newcomers.mode.value = mode
    window.press("propagate")
    finish_twice(window)
    assert session.object_ids == (1, 7)
    assert session.confidence[5, 7] == pytest.approx(old[5, 7] + 0.9 * (1 - old[5, 7]), abs=1e-3)
    assert session.confidence[4, 7] == old[4, 7]
    window.press("undo")
    window.finish()
    assert session.confidence == old


def test_off_and_the_button(window: Any, eyes: Eyes, tmp_path: Path) -> None:
    panel = window.widget.newcomers
    window.press("propagate")
    window.finish()
    assert eyes.looked == []
    panel.score.value = 0.95
    panel.weights.value = tmp_path / "mine.safetensors"
    press(window, "find")
    assert eyes.asked[-1]["weights"] == tmp_path / "mine.safetensors"
    assert window.widget.status.value == "No newcomers on 3 frames."
    panel.score.value = 0.5
    press(window, "find")
    press(window, "find")
    assert sum(layer.name.startswith("phase newcomers") for layer in window.viewer.layers) == 1
    window.viewer.layers.remove("phase newcomers")
    panel.fit()
    assert not panel.accept.enabled


def test_parents_tracks_and_export(window: Any, eyes: Eyes, tmp_path: Path) -> None:
    viewer, widget = window.viewer, window.widget
    panel = widget.newcomers
    window.press("propagate")
    window.finish()
    press(window, "propose")
    assert window.widget.status.value == "Nothing begins beside an end."
    assert panel.parents.native.isHidden()
    assert not panel.accept_parents.enabled
    session = widget._chosen.aim().session
    session.end_object(1, 4)
    left = int(np.nonzero(np.asarray(session.labels[3]) == 1)[1].min())
    labels = np.zeros(SHAPE, int)
    labels[0:3, left : left + 4], labels[5:9, left : left + 4] = 8, 9
    session.add_mask(4, labels)
    press(window, "propose")
    assert not panel.parents.native.isHidden()
    assert panel.parents.value == [(8, 1), (9, 1)]
    panel.parents.value = [(9, 1)]
    press(window, "accept_parents")
    assert session.parents == {9: 1}
    assert window.widget.status.value == "1 parent is accepted."
    assert panel.parents.native.isHidden()
    press(window, "propose")
    assert panel.parents.value == [(8, 1)]
    press(window, "accept_parents")
    assert session.parents == {8: 1, 9: 1}
    assert not panel.accept_parents.enabled
    press(window, "tracks")
    press(window, "tracks")
    [layer] = [layer for layer in viewer.layers if isinstance(layer, Tracks)]
    assert layer.graph == {8: [1], 9: [1]}
    np.testing.assert_allclose(layer.scale, viewer.layers["phase"].scale)
    assert {1, 7, 8, 9} == set(layer.data[:, 0])
    panel.export_to(tmp_path / "01_RES")
    window.finish()
    assert "8 4 4 1" in (tmp_path / "01_RES" / "res_track.txt").read_text().splitlines()
    panel.export_to(tmp_path / "01_RES")
    assert window.finish() is Finish.FAILED
    assert "exists already" in window.notices

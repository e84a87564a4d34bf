"""Adapting from the window, with a line to learn instead of a network."""

from __future__ import annotations

import math
import threading
from typing import Any, NamedTuple

import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from napari_vos.session import Finish
from napari_vos.session.adaptation import StackAdaptation
from napari_vos.widgets.adapt import AdaptWidget
from tests.lessons import LineLessons, Points

pytestmark = pytest.mark.gui


class LessonsInTheBackground(LineLessons):
    def batch(self, rng: np.random.Generator, size: int) -> Points:
        assert threading.current_thread() is not threading.main_thread()
        return super().batch(rng, size)


class Adapting(NamedTuple):
    window: Any
    widget: AdaptWidget
    annotated: list[list[int]]

    def press(self, name: str) -> None:
        getattr(self.widget, name).changed.emit(True)

    def finish(self) -> Finish | None:
        assert self.widget.work is not None
        return self.widget.work.wait(60)

    @property
    def session(self) -> Any:
        sessions, job = self.window.widget.hand_over()
        return sessions.find(job.image, job.folder)


@pytest.fixture
def adapting(window: Any, monkeypatch: pytest.MonkeyPatch) -> Adapting:
    annotated: list[list[int]] = []

    def lessons(self: StackAdaptation, given: Any) -> LessonsInTheBackground:
        annotated.append(sorted(given))
        return LessonsInTheBackground()

    monkeypatch.setattr(StackAdaptation, "_lessons", lessons)
    widget = AdaptWidget(window.viewer)
    window.viewer.window.add_dock_widget(widget, name="Adapt to this stack")
    widget.minutes.min = 0
    widget.minutes.value = 0.01
    return Adapting(window, widget, annotated)


def test_adapted_weights_are_kept_and_used(adapting: Adapting, factory: Any) -> None:
    widget = adapting.widget
    adapting.press("adapt")
    assert not widget.adapt.enabled
    assert widget.cancel.enabled
    assert adapting.finish() is Finish.COMPLETED
    assert adapting.annotated == [[0]]
    assert widget.status.value.startswith("Kept: from frame 0 to frame 8 and back, J was")
    assert "Undo goes back" in widget.status.value
    assert widget.bar.value == 1000
    points = widget.curve.points["loss"]
    assert len(points) > 1
    assert points[0][0] == 0
    assert points[-1][0] == pytest.approx(0.01)
    assert widget.adapt.enabled
    assert adapting.window.widget.undo.enabled
    adapting.window.press("propagate")
    assert adapting.window.finish() is Finish.COMPLETED
    assert factory.arguments[-1]["weights"].parent == adapting.session.folder / "weights"


def test_cancelled_it_keeps_what_was_learned(adapting: Adapting) -> None:
    adapting.widget.minutes.value = 60
    adapting.press("adapt")

    def stop(progress: Any) -> None:
        if progress.step == 30:
            adapting.press("cancel")

    adapting.widget.work.found.connect(stop)
    assert adapting.finish() is Finish.CANCELLED
    assert adapting.widget.status.value.startswith("Kept: ")
    assert not adapting.widget.cancel.enabled
    assert adapting.session.adapted.weights is not None


def test_painted_frames_are_compared(adapting: Adapting) -> None:
    masks = adapting.window.viewer.layers["masks"]
    masks.data[5] = np.roll(masks.data[0], 6, axis=1)
    adapting.press("adapt")
    adapting.finish()
    assert adapting.annotated == [[0]]
    assert "from frame 0 to frame 5, J was" in adapting.widget.status.value


def test_divergence_is_said(adapting: Adapting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LessonsInTheBackground, "spoil", math.nan)
    adapting.press("adapt")
    assert adapting.finish() is Finish.COMPLETED
    assert adapting.widget.status.value.startswith("The loss ran away")


def test_images_alone_are_handed_over(adapting: Adapting) -> None:
    adapting.window.viewer.layers.remove("masks")
    adapting.press("adapt")
    assert adapting.finish() is Finish.COMPLETED
    assert adapting.annotated == [[]]


def test_errors_are_told(adapting: Adapting) -> None:
    adapting.window.widget.form.folder.value = adapting.window.widget.form.folder.value / "x"
    adapting.window.widget.form.folder.value.mkdir(parents=True)
    (adapting.window.widget.form.folder.value / "other").touch()
    adapting.press("adapt")
    assert adapting.finish() is Finish.FAILED
    assert adapting.widget.status.value == "Stopped by an error."
    assert "isn't empty" in adapting.window.notices


def test_without_propagate_it_is_opened_first(make_napari_viewer: Any, images: np.ndarray) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(images, name="phase")
    widget = AdaptWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Adapt to this stack")
    notification_manager.records.clear()
    widget.adapt.changed.emit(True)
    assert widget.work is None
    assert "Choose images, masks and engine in Propagate" in widget.status.value
    assert "Propagate (napari-vos)" in viewer.window.dock_widgets

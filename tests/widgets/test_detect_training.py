"""Training on labels layers from the window, with a network that learns at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from napari_vos import FrameStack
from napari_vos._napari.snapshot import METADATA
from napari_vos.metrics import InstanceScores
from napari_vos.session import Finish, Session
from napari_vos.training import own_cells
from napari_vos.training.fields import UNKNOWN
from napari_vos.training.own_cells import OwnCellsTraining, Progress
from napari_vos.widgets.detect import DetectWidget

if TYPE_CHECKING:
    from napari_vos.training.own_labels import AnnotatedFrames

pytestmark = pytest.mark.gui


def scores(hits: int) -> InstanceScores:
    return InstanceScores((hits,) * 10, 4, 4, 2, hits, hits, 4)


class Lessons:
    """What was learned from, and a gate before the second step."""

    def __init__(self) -> None:
        self.known: AnnotatedFrames | None = None
        self.recipe: OwnCellsTraining | None = None
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, known: AnnotatedFrames, recipe: OwnCellsTraining) -> Iterator[Progress]:
        assert threading.current_thread() is not threading.main_thread()
        self.known, self.recipe = known, recipe
        path = recipe.out / "cells.safetensors"
        before, after = scores(1), scores(4)
        yield Progress(0, 0.0, None, before, before, before, 12.4, path)
        yield Progress(1, 0.5, 3.0, before, before, None, 12.4, path)
        self.gate.wait(60)
        yield Progress(2, 1.0, 2.0, before, after, after, 12.4, path)


class Window(NamedTuple):
    viewer: Any
    widget: DetectWidget
    lessons: Lessons

    def press(self, name: str) -> None:
        getattr(self.widget.training, name).changed.emit(True)

    def finish(self) -> Finish | None:
        assert self.widget.training.work is not None
        return self.widget.training.work.wait(60)

    @property
    def notices(self) -> str:
        return "\n".join(record.message for record in notification_manager.records)


@pytest.fixture
def window(
    make_napari_viewer: Any,
    images: np.ndarray,
    masks: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Window]:
    lessons = Lessons()
    monkeypatch.setattr(own_cells, "learn", lessons)
    viewer = make_napari_viewer()
    viewer.add_image(images, name="phase")
    viewer.add_labels(masks, name="masks")
    widget = DetectWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Detect instances")
    widget.training.folder.value = tmp_path / "weights"
    notification_manager.records.clear()
    yield Window(viewer, widget, lessons)
    lessons.gate.set()
    if widget.training.work is not None:
        widget.training.work.wait(60)


def test_the_detector_learns_and_is_used(window: Window, masks: np.ndarray, tmp_path: Path) -> None:
    panel = window.widget.training
    panel.minutes.value = 2
    window.press("train")
    assert not panel.train.enabled
    assert window.finish() is Finish.COMPLETED
    known = window.lessons.known
    assert known.filled == [t for t, frame in enumerate(masks) if frame.any()]
    assert all((known.labels(t) != UNKNOWN).all() for t in known.filled)
    recipe = OwnCellsTraining(tmp_path / "weights", minutes=2)
    assert window.lessons.recipe == recipe
    assert panel.curve.points == {
        "loss": [(0.5, 3.0), (1.0, 2.0)],
        "AP50": [(0.0, 1 / 7), (1.0, 1)],
    }
    assert panel.status.value.startswith("AP50 on 2 held-out frames: 0.14 before, 1.00 now")
    form = window.widget.form
    assert form.weights.value == tmp_path / "weights" / "cells.safetensors"
    assert form.diameter.value == 12
    assert panel.train.enabled
    assert not panel.curve.isHidden()


def test_a_stopped_training_keeps_what_it_has(window: Window, tmp_path: Path) -> None:
    window.lessons.gate.clear()
    window.press("train")

    def stop(progress: Progress) -> None:
        if progress.step == 1:
            window.press("cancel")
            window.lessons.gate.set()

    window.widget.training.work.found.connect(stop)
    assert window.finish() is Finish.CANCELLED
    assert window.widget.form.weights.value == tmp_path / "weights" / "cells.safetensors"
    assert window.widget.training.train.enabled


def test_incomplete_frames_and_regions_to_ignore(
    window: Window, images: np.ndarray, masks: np.ndarray
) -> None:
    panel = window.widget.training
    unsure = np.zeros(images.shape, np.uint8)
    unsure[:, :3] = 1
    window.viewer.add_labels(unsure, name="unsure")
    t = int(np.flatnonzero(masks.any(axis=(1, 2)))[0])
    panel.painted.value = window.viewer.layers["masks"]
    panel.ignored.value = window.viewer.layers["unsure"]
    panel.frames.value = f"{t}"
    window.press("train")
    window.finish()
    assert window.lessons.known.filled == [t]
    known = window.lessons.known.labels(t)
    assert (known[:3] == UNKNOWN).all()
    assert (known[3:] != UNKNOWN).all()
    panel.complete.value, panel.ignored.value = False, None
    window.press("train")
    window.finish()
    assert ((window.lessons.known.labels(t) == UNKNOWN) == (masks[t] == 0)).all()


def test_of_results_the_frames_of_the_user_are_learned_from(
    window: Window, images: np.ndarray, masks: np.ndarray, factory: Any, tmp_path: Path
) -> None:
    with Session(FrameStack(images), folder=tmp_path / "my.session") as session:
        session.add_mask(0, masks[0])
        session.add_mask(3, masks[0])
    results = window.viewer.add_labels(np.repeat(masks[:1], len(masks), axis=0), name="results")
    results.metadata[METADATA] = {"session": str(tmp_path / "my.session")}
    window.widget.training.painted.value = results
    window.press("train")
    assert window.finish() is Finish.COMPLETED
    assert window.lessons.known.filled == [0, 3]
    window.widget.training.frames.value = "5:7"
    window.press("train")
    window.finish()
    assert window.lessons.known.filled == [5, 6]


def test_what_cannot_be_learned_from_is_told(window: Window, images: np.ndarray) -> None:
    panel, layers = window.widget.training, window.viewer.layers
    panel.frames.value = "2-5"
    window.press("train")
    panel.frames.value = ""
    window.viewer.add_labels(np.zeros((2, 5, 5), np.uint8), name="small")
    panel.painted.value = layers["small"]
    window.press("train")
    assert panel.work is None
    window.viewer.add_labels(np.zeros(images.shape, np.uint8), name="aside", translate=(0, 0, 9))
    panel.painted.value = layers["aside"]
    window.press("train")
    assert panel.work is None
    window.viewer.add_labels(np.zeros(images.shape, np.uint8), name="empty")
    panel.painted.value = layers["empty"]
    window.press("train")
    assert window.finish() is Finish.FAILED
    assert panel.status.value == "Stopped by an error."
    for words in (
        "'2-5' isn't a list of the frames",
        "'small' has shape (2, 5, 5)",
        "'aside' doesn't lie on the images",
        "the labels are empty",
    ):
        assert words in window.notices

"""Finding instances from the window, with a detector without a network."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from napari_vos.engines import create_detector
from napari_vos.engines.base import Combination, FrameInstances
from napari_vos.session import Finish
from napari_vos.widgets.detect import DetectWidget

pytestmark = pytest.mark.gui


class FakeRaw:
    """Three instances of 2 x 2 pixels in row t, of scores 0.9, 0.6 and 0.2."""

    nbytes = 1

    def __init__(self, t: int, shape: tuple[int, int]) -> None:
        self.t, self.shape = t, shape

    def instances(self, *, score: float, overlap: float, kind: int | None = None) -> FrameInstances:
        assert threading.current_thread() is not threading.main_thread()
        known = (0.9, 0.6, 0.2) if kind is None else (0.9,) if kind == 15 else ()
        scores = [each for each in known if each > score]
        labels = np.zeros(self.shape, np.uint16)
        for number in range(1, len(scores) + 1):
            labels[self.t : self.t + 2, 4 * number : 4 * number + 2] = number
        boxes = np.zeros((len(scores), 4), np.float32)
        kinds = np.zeros(len(scores), np.int64)
        return FrameInstances(labels, np.array(scores, np.float32), kinds, boxes)

    def combination(
        self, label: int, *, score: float, overlap: float, kind: int | None = None
    ) -> Combination:
        assert threading.current_thread() is not threading.main_thread()
        prototypes = np.zeros((2, 4, 6), np.float32)
        prototypes[0, :, :3] = prototypes[1, 2:] = 1
        coefficients = np.array([0.5 * label, -0.25], np.float32)
        return Combination(prototypes, coefficients, prototypes[0])


class FakeDetector:
    plan: dict[str, object] = {}  # noqa: RUF012

    def __init__(self, frames: Any, looked: list[int], gates: dict[int, threading.Event]) -> None:
        self.frames, self.looked, self.gates = frames, looked, gates

    def detect(self, t: int) -> FakeRaw:
        assert t not in self.gates or self.gates[t].wait(60)
        self.looked.append(t)
        return FakeRaw(t, self.frames.shape)


class Window(NamedTuple):
    viewer: Any
    widget: DetectWidget
    looked: list[int]
    gates: dict[int, threading.Event]
    """Frames at which a search waits."""

    def press(self, name: str) -> None:
        getattr(self.widget, name).changed.emit(True)

    def finish(self) -> Finish | None:
        assert self.widget.search is not None
        return self.widget.search.wait(60)

    @property
    def layers(self) -> list[Any]:
        return [layer for layer in self.viewer.layers if layer.name.startswith("phase instances")]

    @property
    def counts(self) -> list[int]:
        return [int(frame.max()) for frame in self.layers[-1].data]


@pytest.fixture
def window(
    make_napari_viewer: Any, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Window]:
    looked: list[int] = []
    gates: dict[int, threading.Event] = {}
    monkeypatch.setattr(
        "napari_vos._napari.detection.create_detector",
        lambda name, frames, **options: FakeDetector(frames, looked, gates),
    )
    viewer = make_napari_viewer()
    viewer.add_image(images, name="phase", scale=(2, 0.5, 0.5), translate=(0, 3, 4))
    widget = DetectWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Detect instances")
    notification_manager.records.clear()
    yield Window(viewer, widget, looked, gates)
    for gate in gates.values():
        gate.set()
    if widget.search is not None:
        widget.search.wait(60)


def test_this_frame_is_searched_and_sliders_need_no_new_search(window: Window) -> None:
    window.viewer.dims.set_point(0, 2 * 3)
    window.press("detect")
    assert window.finish() is Finish.COMPLETED
    assert window.looked == [3]
    [layer] = window.layers
    np.testing.assert_allclose(layer.scale, (2, 0.5, 0.5))
    assert window.counts == [0, 0, 0, 2, *[0] * 8]
    assert layer.features["score"].tolist() == pytest.approx([0.9, 0.6])
    assert layer.features["index"].tolist() == [1, 2]
    assert window.widget.status.value == "2 instances on 1 frame"
    for score, count in ((0.1, 3), (0.7, 1), (0.95, 0)):
        window.widget.form.score.value = score
        assert window.finish() is Finish.COMPLETED
        assert window.counts[3] == count
        assert len(layer.features) == count
    assert window.looked == [3]
    window.viewer.dims.set_point(0, 0)
    assert len(layer.features) == 0


def test_a_range_and_all_frames(window: Window) -> None:
    form = window.widget.form
    assert (form.first.max, form.last.value) == (11, 11)
    form.frames.value = "some frames"
    form.first.value, form.last.value = 2, 4
    window.press("detect")
    assert window.finish() is Finish.COMPLETED
    assert window.counts == [0, 0, 2, 2, 2, *[0] * 7]
    assert window.widget.bar.value == window.widget.bar.max == 3
    form.frames.value = "all frames"
    window.press("detect")
    assert window.finish() is Finish.COMPLETED
    assert window.counts == [2] * 12
    # What was seen isn't looked at again.
    assert sorted(window.looked) == list(range(12))
    assert window.widget.status.value == "24 instances on 12 frames"
    form.score.value = 0.7
    window.finish()
    assert window.counts == [1] * 12


def test_weights_under_the_same_name_are_looked_with_again(window: Window, tmp_path: Path) -> None:
    weights = tmp_path / "cells.safetensors"
    window.widget.form.weights.value = weights
    for content, n_looks in ((b"old", 1), (b"old", 1), (b"new", 2)):
        weights.write_bytes(content)
        window.press("detect")
        assert window.finish() is Finish.COMPLETED
        assert window.looked == [5] * n_looks
        assert len(window.layers) == n_looks
    window.widget.form.score.value = 0.7
    window.finish()
    assert [int(layer.data[5].max()) for layer in window.layers] == [2, 1]


def test_a_slider_that_moves_during_a_search_counts_for_all_frames(window: Window) -> None:
    window.gates[0] = threading.Event()
    window.widget.form.frames.value = "all frames"
    window.press("detect")
    assert not window.widget.detect.enabled
    window.widget.form.score.value = 0.7
    window.gates[0].set()
    window.finish()
    window.finish()  # the thresholds applied to what was found before they changed
    assert window.counts == [1] * 12
    assert window.widget.detect.enabled


def test_a_cancelled_search_keeps_what_it_found(window: Window) -> None:
    window.widget.form.frames.value = "all frames"
    gate = window.gates[4] = threading.Event()
    window.press("detect")

    def stop(found: Any) -> None:
        if found.t == 2:
            window.press("cancel")
            gate.set()

    window.widget.search.found.connect(stop)
    assert window.finish() is Finish.CANCELLED
    assert window.counts == [2, 2, 2, 2, 2, *[0] * 7]
    assert not window.widget.cancel.enabled


def test_a_search_stops_when_the_widget_is_closed(window: Window) -> None:
    window.gates[1] = threading.Event()
    window.widget.form.frames.value = "all frames"
    window.press("detect")
    window.viewer.window.remove_dock_widget(window.widget.native)
    window.gates[1].set()
    assert window.finish() is Finish.CANCELLED
    assert len(window.looked) <= 2


def test_instances_become_prompts_and_the_layer_the_users(window: Window) -> None:
    window.press("detect")
    window.finish()
    assert window.widget.use.enabled
    window.press("use")
    propagate = window.viewer.window.dock_widgets["Propagate (napari-vos)"]
    [layer] = window.layers
    assert propagate.form.labels.value is layer
    assert propagate.form.image.value.name == "phase"
    assert propagate.form.user_frames.value == "this frame"
    window.widget.form.score.value = 0.1
    window.finish()
    assert window.counts[5] == 2
    assert not window.widget.use.enabled
    window.press("detect")
    window.finish()
    assert len(window.layers) == 2
    assert window.counts[5] == 3
    # What the user has painted is not written over.
    window.layers[-1].paint((5, 20, 20), 9)
    window.widget.form.score.value = 0.95
    window.finish()
    assert window.counts[5] == 9


def test_the_class_of_a_published_model_acts_at_once(window: Window) -> None:
    form = window.widget.form
    assert form.kind.native.isHidden()
    form.detector.value = "yolact"
    assert not form.kind.native.isHidden()
    window.press("detect")
    window.finish()
    for kind, count in (("cat", 1), ("dog", 0), ("all", 2)):
        form.kind.value = kind
        assert window.finish() is Finish.COMPLETED
        assert window.counts[5] == count
    assert window.looked == [5]


def test_prototypes_of_the_selected_instance_are_shown(window: Window) -> None:
    assert not window.widget.explain.enabled
    window.press("detect")
    window.finish()
    [layer] = window.layers
    layer.selected_label = 2
    window.press("explain")
    assert window.finish() is Finish.COMPLETED
    view = window.widget.prototypes
    assert view.isVisible()
    names = [name for name, _ in view.pictures]
    assert names == ["mask", "+1.00 x prototype 0", "-0.25 x prototype 1"]
    assert window.counts[5] == 2
    layer.selected_label = 3
    window.press("explain")
    assert window.finish() is Finish.FAILED
    [notice] = notification_manager.records
    assert "frame 5 has label 3; there are 2" in notice.message


def test_what_is_missing_is_told(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_vos._napari.detection.create_detector", create_detector)
    form = window.widget.form
    form.detector.value = "yolact"
    assert 'href="https://github.com/dbolya/yolact"' in form.published.value
    assert not form.published.native.isHidden()
    assert form.diameter.native.isHidden()
    window.press("detect")
    assert window.finish() is Finish.FAILED
    form.detector.value, form.diameter.value = "cells", 2
    window.press("detect")
    form.frames.value, form.first.value, form.last.value = "some frames", 3, 2
    form.diameter.value = 0
    window.press("detect")
    notices = "\n".join(record.message for record in notification_manager.records)
    assert "comes without weights: name a file" in notices
    assert "diameter is 2" in notices
    assert "comes after the last one, 2" in notices
    assert not window.layers
    assert window.widget.detect.enabled

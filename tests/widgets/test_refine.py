"""Refining edges from the window, by weights that were never trained or by a fake."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import dask.array
import numpy as np
import pytest
import torch
import zarr
from napari.utils.notifications import notification_manager
from safetensors.torch import save_file

from napari_vos.configs import CompactConfig, MastConfig, MivosConfig
from napari_vos.networks.refinement import RefinementNetwork
from napari_vos.session import Finish
from napari_vos.session.refinement import RefinedLabels
from napari_vos.widgets.form import PropagateForm
from napari_vos.widgets.refine import RefineWidget
from napari_vos.widgets.refine_form import parse_ids

pytestmark = pytest.mark.gui


class GrowsByOne(RefinedLabels):
    """Refinement that moves the right border of each object by a pixel, and drops its first row."""

    def __init__(self, labels: Any, object_ids: Any) -> None:
        self.shape = labels.shape
        self._labels, self._object_ids = labels, object_ids

    def refine(self, t: int, labels: np.ndarray) -> np.ndarray:
        assert threading.current_thread() is not threading.main_thread()
        refined = labels.astype(np.uint16)
        for object_id in np.unique(labels[labels > 0]):
            if self._object_ids is None or object_id in self._object_ids:
                mask = labels == object_id
                refined[np.roll(mask, 1, axis=1) & ~mask] = object_id
                refined[np.flatnonzero(mask.any(axis=1))[0], mask.any(axis=0)] = 0
        return refined


class Window(NamedTuple):
    viewer: Any
    widget: RefineWidget
    asked: list[dict[str, Any]]
    """What refinement was asked for."""

    def press(self, name: str) -> None:
        getattr(self.widget, name).changed.emit(True)

    def finish(self) -> Finish | None:
        assert self.widget.search is not None
        return self.widget.search.wait(60)

    @property
    def preview(self) -> Any:
        return next((x for x in self.viewer.layers if x.name.endswith(" changes")), None)

    @property
    def notices(self) -> str:
        return "\n".join(record.message for record in notification_manager.records)


@pytest.fixture
def labels() -> np.ndarray:
    """Objects 1 and 7, which touch, on all frames but the last."""
    labels = np.zeros((12, 24, 40), np.uint16)
    labels[:11, 4:12, 5:20], labels[:11, 4:12, 20:30] = 1, 7
    return labels


@pytest.fixture
def add_widget(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Window]:
    def add_widget(viewer: Any) -> Window:
        asked: list[dict[str, Any]] = []

        def fake(frames: Any, labels: Any, **options: Any) -> RefinedLabels:
            asked.append(options)
            return GrowsByOne(labels, options["object_ids"])

        monkeypatch.setattr("napari_vos._napari.refinement.refine_labels", fake)
        widget = RefineWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Refine edges")
        notification_manager.records.clear()
        return Window(viewer, widget, asked)

    return add_widget


@pytest.fixture
def window(
    make_napari_viewer: Any, images: np.ndarray, labels: np.ndarray, add_widget: Any
) -> Window:
    viewer = make_napari_viewer()
    placement = {"scale": (2, 0.5, 0.5), "translate": (0, 3, 4)}
    viewer.add_image(images, name="phase", **placement)
    viewer.add_labels(labels, name="masks", **placement)
    viewer.dims.set_point(0, 2 * 3)
    return add_widget(viewer)


def test_changes_are_shown_before_they_are_made(window: Window) -> None:
    layer, given = window.viewer.layers["masks"], window.viewer.layers["masks"].data.copy()
    assert not window.widget.apply.enabled
    window.press("look")
    assert window.finish() is Finish.COMPLETED
    np.testing.assert_array_equal(layer.data, given)
    preview = window.preview
    np.testing.assert_allclose(preview.scale, layer.scale)
    np.testing.assert_allclose(preview.translate, layer.translate)
    assert not np.delete(preview.data, 3, axis=0).any()
    shown = preview.data[3]
    assert (shown[5:12, 30] == 1).all()  # joins an object
    assert (shown[4, 5:20] == 2).all()  # becomes background
    assert (shown[5:12, 20] == 3).all()  # goes to another object
    assert window.widget.status.value == f"{np.count_nonzero(shown)} pixels to change on 1 frame"
    window.press("apply")
    changed = layer.data != given
    np.testing.assert_array_equal(changed[3], shown > 0)
    assert not np.delete(changed, 3, axis=0).any()
    assert window.preview is None
    window.press("undo")
    np.testing.assert_array_equal(layer.data, given)
    assert not window.widget.undo.enabled
    assert window.widget.status.value == f"{np.count_nonzero(shown)} pixels are as they were."


def test_one_step_of_naparis_own_undo(window: Window) -> None:
    layer, given = window.viewer.layers["masks"], window.viewer.layers["masks"].data.copy()
    window.widget.form.frames.value = "all frames"
    window.press("look")
    assert window.finish() is Finish.COMPLETED
    window.press("apply")
    assert "on 11 frames" in window.widget.status.value
    assert all((layer.data[t] != given[t]).any() for t in range(11))
    layer.undo()
    np.testing.assert_array_equal(layer.data, given)


def test_what_was_painted_since_stays(window: Window) -> None:
    layer = window.viewer.layers["masks"]
    window.press("look")
    window.finish()
    layer.data[3, 6:8, 30] = 5
    window.press("apply")
    assert layer.data[3, 5:10, 30].tolist() == [7, 5, 5, 7, 7]
    layer.data[3, 9, 30] = 6
    window.press("undo")
    assert layer.data[3, 5:10, 30].tolist() == [0, 5, 5, 0, 6]


def test_discarded_changes_are_never_made(window: Window) -> None:
    given = window.viewer.layers["masks"].data.copy()
    window.press("look")
    window.finish()
    window.press("discard")
    np.testing.assert_array_equal(window.viewer.layers["masks"].data, given)
    assert window.preview is None
    assert not window.widget.apply.enabled
    assert not window.widget.discard.enabled


def test_objects_and_strength_are_chosen(window: Window) -> None:
    form = window.widget.form
    assert not form.ids.visible
    window.viewer.layers["masks"].selected_label = 7
    form.objects.value = "the selected label"
    form.factor.value, form.certainty.value = 8, 0.9
    window.press("look")
    window.finish()
    assert window.asked[-1]["object_ids"] == {7}
    config = window.asked[-1]["config"]
    assert (config.factor, config.certainty) == (8, 0.9)
    assert not window.preview.data[3, :, :20].any()
    form.objects.value, form.ids.value = "some objects", "1, 5-6"
    window.press("look")
    window.finish()
    assert window.asked[-1]["object_ids"] == {1, 5, 6}
    assert parse_ids("7") == {7}


@pytest.mark.parametrize("kind", ["zarr", "channels", "one frame"])
def test_all_kinds_of_layers(
    kind: str, make_napari_viewer: Any, images: np.ndarray, labels: np.ndarray, add_widget: Any
) -> None:
    viewer = make_napari_viewer()
    data: Any = labels
    if kind == "zarr":
        data = zarr.create_array({}, shape=labels.shape, chunks=(1, 24, 40), dtype=np.uint16)
        data[:] = labels
    if kind == "one frame":
        data = labels[0].copy()
    if kind == "channels":
        images, data = np.stack([images] * 2, 1), np.stack([labels] * 2, 1)
    viewer.add_image(images, name="phase")
    layer = viewer.add_labels(data, name="masks")
    viewer.dims.set_point(0, 3)
    window = add_widget(viewer)
    given = np.array(layer.data)
    window.press("look")
    assert window.finish() is Finish.COMPLETED
    assert window.preview.data.shape == layer.data.shape
    window.press("apply")
    changed = np.asarray(layer.data) != given
    frame = changed if kind == "one frame" else changed[3]
    assert frame.any()
    assert changed.sum() == frame.sum()
    if kind == "channels":
        np.testing.assert_array_equal(frame[0], frame[1])
    window.press("undo")
    np.testing.assert_array_equal(np.asarray(layer.data), given)
    assert not window.notices


def test_permuted_views(window: Window) -> None:
    window.viewer.dims.order = (0, 2, 1)
    window.press("look")
    assert window.finish() is Finish.COMPLETED
    window.press("apply")
    assert "on 1 frame" in window.widget.status.value
    window.viewer.dims.order = (1, 0, 2)  # time is on the screen
    window.press("look")
    assert "No frame of 'phase' is in view" in window.notices
    window.widget.form.frames.value = "all frames"
    window.press("look")
    assert window.finish() is Finish.COMPLETED
    window.press("apply")
    assert "on 11 frames" in window.widget.status.value


def test_what_cannot_be_refined_is_told(window: Window, labels: np.ndarray) -> None:
    form, viewer = window.widget.form, window.viewer
    frozen = labels.copy()
    frozen.flags.writeable = False
    for name, data, expected in (
        ("other", np.zeros((12, 24, 41), np.uint8), "has shape (12, 24, 41)"),
        ("lazy", dask.array.from_array(labels), "'lazy' can't be written"),
        ("frozen", frozen, "'frozen' can't be written"),
        ("empty", np.zeros((12, 24, 40), np.uint8), "'empty' doesn't hold an object"),
        ("results", labels.copy(), "'results' holds a session's results"),
    ):
        masks = viewer.layers["masks"]
        layer = viewer.add_labels(data, name=name, scale=masks.scale, translate=masks.translate)
        form.labels.value = layer
        if name == "results":
            layer.metadata["napari_vos"] = {"session": "somewhere"}
            form.frames.value = "all frames"
        window.press("look")
        if name == "empty":
            assert window.finish() is Finish.FAILED
        assert expected in window.notices
        assert window.preview is None
    form.labels.value, form.frames.value = viewer.layers["masks"], "this frame"
    masks.translate = (0, 3, 5)
    window.press("look")
    assert "'masks' doesn't lie on the images" in window.notices
    masks.translate = (0, 3, 4)
    form.objects.value, form.ids.value = "some objects", "3-x"
    window.press("look")
    assert "'3-x' isn't a list of labels" in window.notices
    form.ids.value = "2"
    window.press("look")
    assert window.finish() is Finish.FAILED
    assert "doesn't hold any of the chosen objects" in window.notices
    assert window.widget.look.enabled


def test_layers_that_go_or_are_busy(window: Window) -> None:
    layer = window.viewer.layers["masks"]
    window.press("look")
    window.finish()
    layer.editable = False
    window.press("apply")
    assert "'masks' can't be painted now" in window.notices
    layer.editable = True
    window.viewer.layers.remove(layer)
    window.press("apply")
    assert "'masks' was removed" in window.notices
    window.press("discard")
    assert window.preview is None


def test_real_weights_and_a_constant_image(
    make_napari_viewer: Any, labels: np.ndarray, tmp_path: Any
) -> None:
    torch.manual_seed(0)
    network = RefinementNetwork()
    torch.nn.init.ones_(network.head.predictor.bias)  # objects grow a little
    save_file(network.state_dict(), tmp_path / "refinement.safetensors")
    viewer = make_napari_viewer()
    viewer.add_image(np.full(labels.shape, 7, np.uint16), name="phase")
    viewer.add_labels(labels, name="masks")
    viewer.dims.set_point(0, 3)
    widget = RefineWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Refine edges")
    window = Window(viewer, widget, [])
    widget.form.weights.value = tmp_path / "refinement.safetensors"
    widget.form.certainty.value = 0.5
    window.press("look")
    assert window.finish() is Finish.COMPLETED
    assert widget.status.value == "No pixel changes."
    assert window.preview is None
    viewer.layers["phase"].data = np.random.default_rng(0).integers(0, 99, labels.shape)
    window.press("look")
    assert window.finish() is Finish.COMPLETED
    assert window.preview is not None
    assert set(np.unique(viewer.layers["masks"].data)) == {0, 1, 7}


def test_the_switch_in_propagate(qapp: Any) -> None:
    form = PropagateForm()
    assert form.options.config is None
    form.refine.value = True
    assert form.options.config == CompactConfig(refine="full")
    form.engine.value = "mast"
    assert form.options.config == MastConfig(refine="half")
    form.engine.value, form.fusion_weights.value = "mivos", Path("fusion.pth").absolute()
    file = str(form.fusion_weights.value)
    assert form.options.config == MivosConfig(refine="half", fusion_weights=file)

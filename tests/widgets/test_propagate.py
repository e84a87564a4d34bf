from __future__ import annotations

import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QMimeData, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDropEvent

from napari_vos import bind
from napari_vos._napari.folders import is_session
from napari_vos._napari.snapshot import METADATA
from napari_vos.errors import FramesError
from napari_vos.frames import FrameStack
from napari_vos.io import open_frames
from napari_vos.session import Finish, Session
from napari_vos.session.ledger import Ledger
from napari_vos.store.folder import SessionFolder
from napari_vos.store.versions import VersionStore

pytestmark = pytest.mark.gui


def test_pressing_propagate_fills_all_frames(window: Any) -> None:
    viewer, widget = window
    window.press("propagate")
    assert window.finish() is Finish.COMPLETED
    layer = window.results
    assert window.ids_by_frame == [{1, 7}] * 12
    image = viewer.layers["phase"]
    np.testing.assert_allclose(layer.scale, image.scale)
    np.testing.assert_allclose(layer.translate, image.translate)
    assert layer.units == image.units
    assert layer.axis_labels == image.axis_labels
    assert layer.editable
    assert widget.bar.value == widget.bar.max == 11
    assert widget.status.value.startswith("Done. Changed: 11 frames, 2 objects, ")
    assert widget.propagate.enabled
    assert not widget.cancel.enabled
    window.press("propagate")
    assert window.finish() is Finish.COMPLETED
    assert widget.status.value == "Nothing was left to propagate."


def test_the_estimate_is_shown_and_warnings_are_told(
    window: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, widget = window
    usage = shutil.disk_usage(".")._replace(free=10)
    monkeypatch.setattr("napari_vos.session.estimate.shutil.disk_usage", lambda _: usage)
    lines: list[str] = []
    told: list[Any] = []
    monkeypatch.setattr(
        "napari_vos._napari.background.show_warning",
        lambda line: told.append((line, threading.get_ident())),
    )
    window.press("propagate")
    widget.run.estimated.connect(lambda _: lines.append(widget.status.value))
    assert window.finish() is Finish.COMPLETED
    assert lines == ["22 masks: about 00:00 and 0 MB of memory"]
    [(line, thread)] = told
    assert "finished frames are kept and the run can be continued" in line
    assert thread == threading.get_ident()


def test_a_cancelled_run_keeps_its_frames_and_goes_on(window: Any, factory: Any) -> None:
    viewer, widget = window
    factory.pause = 0.05
    window.press("propagate")
    widget.run.progressed.connect(lambda progress, _: progress.n_done == 4 and widget.run.cancel())
    assert window.finish() is Finish.CANCELLED
    done = sum(bool(ids) for ids in window.ids_by_frame)
    assert 5 <= done < 12
    assert window.results.editable
    window.press("propagate")
    assert window.finish() is Finish.COMPLETED
    assert window.ids_by_frame == [{1, 7}] * 12
    assert sum(METADATA in layer.metadata for layer in viewer.layers) == 1
    # The second run has gone on: no frame was predicted twice.
    assert [span.done_until for span in factory.spans] == [None, done - 1]


def test_a_correction_on_the_results_is_propagated(window: Any) -> None:
    viewer, widget = window
    window.press("propagate")
    window.finish()
    layer = window.results
    viewer.dims.set_point(0, 2 * 6)
    layer.data[6, 18:22, 30:34] = 9
    widget.form.labels.value = layer
    widget.form.user_frames.value = "this frame"
    window.press("propagate")
    assert window.finish() is Finish.COMPLETED
    assert all(9 in ids for ids in window.ids_by_frame[4:9])


def test_undo_and_redo_of_the_last_run(window: Any) -> None:
    viewer, widget = window

    def can() -> tuple[bool, bool]:
        return widget.undo.enabled, widget.redo.enabled

    assert can() == (False, False)
    window.press("propagate")
    assert can() == (False, False)
    window.finish()
    assert can() == (True, False)
    layer = window.results
    ran = np.asarray(layer.data)
    viewer.dims.set_point(0, 2 * 6)
    window.press("undo")
    assert window.finish() is Finish.COMPLETED
    assert window.ids_by_frame == [{1, 7}] + [set()] * 11
    assert not layer._slice.image.raw.any()  # what is shown was refreshed
    assert widget.status.value == "Undone."
    assert can() == (True, True)
    window.press("undo")
    window.finish()
    assert window.ids_by_frame == [set()] * 12
    assert can() == (False, True)
    for _ in range(2):
        window.press("redo")
        window.finish()
    assert can() == (True, False)
    np.testing.assert_array_equal(layer.data, ran)
    assert layer.editable
    # Another session has its own past.
    widget.form.folder.value = "elsewhere"
    assert can() == (False, False)


def test_range_and_direction_are_kept_to(window: Any, masks: Any) -> None:
    _, widget = window
    masks[6], masks[0] = masks[0], 0
    widget.form.direction.value = "backward"
    widget.form.first.value = 3
    window.press("propagate")
    assert window.finish() is Finish.COMPLETED
    filled = [t for t, ids in enumerate(window.ids_by_frame) if ids]
    assert filled == [3, 4, 5, 6]


def test_the_view_follows_only_if_it_should(window: Any, factory: Any) -> None:
    viewer, widget = window
    factory.pause = 0.05
    viewer.dims.set_point(0, 0)
    window.press("propagate")
    widget.run.progressed.connect(
        lambda progress, _: setattr(widget.form.follow, "value", progress.n_done >= 6)
    )
    shown = []
    viewer.dims.events.point.connect(lambda: shown.append(viewer.dims.point[0] / 2))
    window.finish()
    assert shown
    assert min(shown) >= 6


def test_a_dropped_session_folder_opens(
    window: Any, images: Any, masks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A question about the reader would wait for ever.
    monkeypatch.delattr("napari._qt.qt_viewer.handle_gui_reading")
    tifffile.imwrite(tmp_path / "cells.tif", images, metadata={"axes": "TYX"})
    with Session(open_frames(tmp_path / "cells.tif"), folder=tmp_path / "a.session") as session:
        session.add_mask(0, masks[0])
    viewer = window.viewer
    viewer.layers.clear()
    files = QMimeData()
    files.setUrls([QUrl.fromLocalFile(str(tmp_path / "a.session"))])
    corner = QPointF(5, 5)
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    viewer.window._qt_viewer.dropEvent(
        QDropEvent(corner, Qt.DropAction.CopyAction, files, buttons, keys)
    )
    assert [layer.name for layer in viewer.layers] == ["cells.tif", "cells.tif results"]
    np.testing.assert_array_equal(window.results.data[0], masks[0])
    np.testing.assert_array_equal(viewer.layers[0].data, images)
    window.widget.form.folder.value = None
    window.widget.form.labels.value = window.results
    window.widget.form.user_frames.value = "this frame"
    viewer.dims.set_point(0, 0)
    window.press("propagate")
    assert window.finish() is Finish.COMPLETED
    assert window.ids_by_frame == [{1, 7}] * 12


def test_an_opened_session_goes_on(window: Any, factory: Any, images: Any, tmp_path: Path) -> None:
    viewer, widget = window
    with Session(FrameStack(images, name="phase"), folder=tmp_path / "old") as session:
        labels = np.zeros((24, 40), np.uint16)
        labels[4:8, 4:8] = 3
        session.add_mask(0, labels)
    viewer.dims.set_point(0, 0)
    widget.form.folder.value = None
    widget.open_session(tmp_path / "old")
    assert widget.form.labels.value is window.results
    window.press("propagate")
    assert window.finish() is Finish.COMPLETED
    assert window.ids_by_frame == [{3}] * 12


def test_a_channel_axis_is_spread_over(
    make_napari_viewer: Any, add_widget: Any, images: Any, masks: Any
) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(np.stack([images, images], axis=1), name="two")
    viewer.add_labels(np.stack([masks, 0 * masks], axis=1), name="masks")
    window = add_widget(viewer)
    window.press("propagate")
    assert window.finish() is Finish.COMPLETED
    layer = window.results
    assert layer.data.shape == (12, 2, 24, 40)
    assert window.ids_by_frame == [{1, 7}] * 12


def test_new_labels_lie_on_the_images(window: Any) -> None:
    viewer, widget = window
    widget.form.new_labels.changed.emit(True)
    layer = widget.form.labels.value
    assert layer is viewer.layers["phase masks"]
    assert layer.data.shape == (12, 24, 40)
    np.testing.assert_allclose(layer.scale, (2, 0.5, 0.5))
    window.press("propagate")
    assert window.finish() is Finish.FAILED
    assert "'phase masks' is empty" in window.notices


def test_a_bug_is_no_plain_notification(
    window: Any, factory: Any, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    received = []
    monkeypatch.setattr(notification_manager, "receive_error", lambda *a: received.append(a[1]))
    monkeypatch.setattr(fake.WalkingPropagator, "_move", lambda *_: 1 / 0)
    window.press("propagate")
    assert window.finish() is Finish.FAILED
    assert [type(error) for error in received] == [ZeroDivisionError]


def test_the_main_thread_calls_no_engine_and_reads_no_store(
    window: Any, factory: Any, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = spy_on(
        monkeypatch,
        {
            fake.WalkingPropagator: ("_move", "estimate"),
            FrameStack: ("read",),
            SessionFolder: ("write_prompt", "write_state"),
            Ledger: ("read", "labels", "index", "commit", "note", "write_frame"),
        },
    )
    for button in ("propagate", "undo", "redo"):
        window.press(button)
        assert window.finish() is Finish.COMPLETED
    assert {"_move", "estimate", "write_frame", "read", "index", "commit", "note"} <= threads.keys()
    main = threading.get_ident()
    assert not [name for name, idents in threads.items() if main in idents]


def test_the_main_thread_reads_no_store_for_a_stroke_and_what_it_has_changed(
    window: Any, factory: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    window.press("propagate")
    assert window.finish() is Finish.COMPLETED
    ledger = ("read", "labels", "index", "latest_change", "shown_labels", "commit", "write_frame")
    threads = spy_on(
        monkeypatch, {Ledger: ledger, VersionStore: ("labels", "index", "objects", "write")}
    )
    layer = window.results
    window.viewer.dims.set_point(0, 2 * 6)
    layer.mode = "paint"
    event = SimpleNamespace(type="mouse_press")
    drag = layer.mouse_drag_callbacks[0](layer, event)
    next(drag)
    rows, columns = np.nonzero(np.asarray(layer.data[6]) == 7)
    layer.data_setitem((np.full(rows.size, 6), rows, columns), 0)
    layer.data_setitem((np.full(rows.size, 6), rows + 3, columns), 7)
    event.type = "mouse_release"
    next(drag, None)
    window.press("propagate")
    assert window.finish() is Finish.COMPLETED
    [changes] = [each for each in window.viewer.layers if each.name == "phase changes"]
    for t in (7, 8, 11):
        window.viewer.dims.set_point(0, 2 * t)
        qtbot.waitUntil(lambda: changes._slice.image.raw.any(), timeout=60_000)
    names = {"read", "labels", "index", "latest_change", "shown_labels", "commit", "write_frame"}
    assert names | {"objects", "write"} <= threads.keys()
    main = threading.get_ident()
    assert not [name for name, idents in threads.items() if main in idents]


def spy_on(
    monkeypatch: pytest.MonkeyPatch, calls: dict[type, tuple[str, ...]]
) -> dict[str, set[int]]:
    """Return the threads in which methods are called from now on, by their names."""
    threads: dict[str, set[int]] = {}

    def spied(name: str, real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            threads.setdefault(name, set()).add(threading.get_ident())
            return real(*args, **kwargs)

        return call

    for owner, names in calls.items():
        for name in names:
            monkeypatch.setattr(owner, name, spied(name, getattr(owner, name)))
    return threads


def test_bind_runs_a_session_of_the_console(
    make_napari_viewer: Any, factory: Any, images: Any, masks: Any
) -> None:
    viewer = make_napari_viewer()
    with Session(FrameStack(images, name="phase")) as session:
        session.add_mask(0, masks[0])
        with pytest.raises(FramesError, match="No image layer has the shape of 'phase'"):
            bind(viewer, session)
        viewer.add_image(images, name="phase", scale=(1, 2, 2))
        run = bind(viewer, session, frames=(0, 5))
        assert run.wait(20) is Finish.COMPLETED
        assert run.wait() is Finish.COMPLETED
        [layer] = [layer for layer in viewer.layers if METADATA in layer.metadata]
        np.testing.assert_allclose(layer.scale, (1, 2, 2))
        assert [bool(frame.any()) for frame in layer.data[:]] == [True] * 6 + [False] * 6


def test_leaving_the_window_releases_the_session(window: Any, tmp_path: Path, qtbot: Any) -> None:
    viewer, widget = window
    window.press("propagate")
    window.finish()
    viewer.window.remove_dock_widget(widget.native)
    with qtbot.waitSignal(widget.native.destroyed):
        widget.native.deleteLater()
    assert is_session(tmp_path / "session")
    with Session.load(tmp_path / "session", FrameStack(viewer.layers["phase"].data)) as session:
        assert session.object_ids == (1, 7)


@pytest.mark.parametrize("floating", [False, True])
def test_closing_the_window_stops_a_run(
    window: Any, factory: Any, images: Any, tmp_path: Path, qtbot: Any, floating: bool
) -> None:
    viewer, widget = window
    [dock] = viewer.window._wrapped_dock_widgets.values()
    dock.setFloating(floating)
    factory.pause = 0.05

    def close(progress: Any, _: str) -> None:
        if progress.n_done == 3:
            factory.latest.pause = 1.0  # closing takes a while on a busy machine
            QTimer.singleShot(0, viewer.close)

    window.press("propagate")
    widget.run.progressed.connect(close)
    qtbot.waitUntil(lambda: not widget.run.is_running, timeout=120_000)
    assert widget.run.finish is Finish.CANCELLED
    assert window.notices == ""
    with Session.load(tmp_path / "session", FrameStack(images, name="phase")) as session:
        done = sum(bool(np.any(session.labels[t])) for t in range(12))
        assert 4 <= done < 12
        factory.pause = 0
        session.run()
        assert all(np.any(session.labels[t]) for t in range(12))

"""What can't be used or breaks off: one clear notification, and nothing finished is lost."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_vos.engines import create_propagator
from napari_vos.session import Finish

pytestmark = pytest.mark.gui


def replace(viewer: Any, name: str, data: np.ndarray) -> None:
    """Put a layer of the same name and other data in the place of one."""
    add = viewer.add_labels if name == "masks" else viewer.add_image
    old = viewer.layers.pop(name)
    placement = {"scale": old.scale, "translate": old.translate} if data.ndim == 3 else {}
    add(data, name=name, **placement)


def move(viewer: Any) -> None:
    """Let the masks lie elsewhere, as they do when they are opened from a file."""
    viewer.layers["masks"].scale, viewer.layers["masks"].translate = (1, 1, 1), (0, 0, 0)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda viewer: viewer.layers.remove("phase"), "No image layer is chosen"),
        (lambda viewer: viewer.layers.remove("masks"), "No labels layer is chosen"),
        (
            lambda viewer: replace(viewer, "phase", np.zeros((24, 40))),
            "'phase' looks like a single image: its shape is (24, 40)",
        ),
        (
            lambda viewer: replace(viewer, "masks", np.ones((12, 24, 41), np.uint8)),
            "'masks' has shape (12, 24, 41); the images 'phase' have (12, 24, 40)",
        ),
        (
            move,
            "'masks' doesn't lie on the images 'phase': its scale is (1, 1, 1) and its translate "
            "(0, 0, 0); expected (2, 0.5, 0.5) and (0, 3, 4)",
        ),
    ],
    ids=["no images", "no labels", "2-D images", "shape", "scale"],
)
def test_layers_that_can_not_be_used(
    window: Any, spoil: Callable[[Any], None], message: str
) -> None:
    spoil(window.viewer)
    window.press("propagate")
    assert message in window.notices
    assert window.widget.run is None
    assert window.widget.propagate.enabled


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (0, np.uint16, "The labels layer 'masks' is empty"),
        (70_000, np.uint32, "Labels layer 'masks': The prompt on frame 0 holds the"),
        (-1, np.int32, "Labels layer 'masks': The prompt on frame 0 holds the"),
    ],
)
def test_labels_that_can_not_be_used(window: Any, value: int, dtype: Any, message: str) -> None:
    window.viewer.layers["masks"].data = np.full((12, 24, 40), value, dtype)
    window.press("propagate")
    assert window.finish() is Finish.FAILED
    assert message in window.notices
    assert str(value or "") in window.notices
    assert "Traceback" not in window.notices
    assert window.widget.propagate.enabled


def test_one_frame_is_no_time_lapse(window: Any, images: np.ndarray, masks: np.ndarray) -> None:
    replace(window.viewer, "phase", images[:1])
    replace(window.viewer, "masks", masks[:1])
    window.press("propagate")
    assert window.finish() is Finish.FAILED
    assert "'phase' has one frame alone" in window.notices


@pytest.mark.parametrize("value", [np.nan, 7.0])
def test_images_without_content_are_propagated_with_a_warning(window: Any, value: float) -> None:
    replace(window.viewer, "phase", np.full((12, 24, 40), value, np.float32))
    window.press("propagate")
    assert window.finish() is Finish.COMPLETED
    assert "'phase' are constant or hold no finite value" in window.notices
    assert window.ids_by_frame == [{1, 7}] * 12


def test_damaged_weights(
    window: Any, factory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window.widget.form.last.value = 5
    window.press("propagate")
    assert window.finish() is Finish.COMPLETED
    window.widget.form.last.value = 11
    damaged = tmp_path / "mine.safetensors"
    damaged.write_bytes(b"x" * 100)
    window.widget.form.weights.value = damaged
    monkeypatch.setattr("napari_vos.engines.create_propagator", create_propagator)
    window.press("propagate")
    assert window.finish() is Finish.FAILED
    assert f"{damaged} can't be read as weights" in window.notices
    assert window.ids_by_frame == [{1, 7}] * 6 + [set()] * 6
    window.widget.form.weights.value = None
    monkeypatch.setattr("napari_vos.engines.create_propagator", factory)
    window.press("propagate")
    assert window.finish() is Finish.COMPLETED
    assert window.ids_by_frame == [{1, 7}] * 12


def test_a_disk_that_is_full_in_the_middle(
    window: Any, factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory.pause = 0.05

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    window.press("propagate")
    with monkeypatch.context() as disk:
        window.widget.run.progressed.connect(
            lambda progress, _: progress.n_done == 4 and disk.setattr(os, "fsync", refuse)
        )
        assert window.finish() is Finish.FAILED
    assert "No space left on device. Free some space; every finished frame is kept" in (
        window.notices
    )
    assert "Traceback" not in window.notices
    done = sum(bool(ids) for ids in window.ids_by_frame)
    assert 5 <= done < 12
    window.press("propagate")
    assert window.finish() is Finish.COMPLETED
    assert window.ids_by_frame == [{1, 7}] * 12
    assert [span.done_until for span in factory.spans] == [None, done - 1]


def test_layers_removed_meanwhile_lose_nothing(window: Any, factory: Any, tmp_path: Path) -> None:
    viewer, widget = window
    factory.pause = 0.05

    def remove(progress: Any, _: str) -> None:
        if progress.n_done == 3:
            viewer.layers.clear()

    window.press("propagate")
    widget.run.progressed.connect(remove)
    assert window.finish() is Finish.COMPLETED
    assert "The results layer was removed" in window.notices
    assert str(tmp_path / "session") in window.notices
    assert not viewer.layers
    widget.open_session(tmp_path / "session")
    assert window.ids_by_frame == [{1, 7}] * 12


def test_layers_may_be_renamed_meanwhile(window: Any, factory: Any) -> None:
    renamed = threading.Event()
    factory.look = lambda frames, t: t == 5 and renamed.wait(120)

    def rename(progress: Any, _: str) -> None:
        if progress.n_done == 3:
            for index, layer in enumerate(window.viewer.layers):
                layer.name = f"layer {index}"
            renamed.set()

    window.press("propagate")
    window.widget.run.progressed.connect(rename)
    assert window.finish() is Finish.COMPLETED
    assert window.ids_by_frame == [{1, 7}] * 12
    window.press("undo")
    assert window.finish() is Finish.COMPLETED
    assert window.ids_by_frame == [{1, 7}] + [set()] * 11


def test_two_windows_at_once(
    window: Any, make_napari_viewer: Any, add_widget: Any, images: np.ndarray, masks: np.ndarray
) -> None:
    window.press("propagate")
    assert window.finish() is Finish.COMPLETED
    viewer = make_napari_viewer()
    viewer.add_image(images, name="phase")
    viewer.add_labels(masks, name="masks")
    other = add_widget(viewer)  # in the same folder
    other.press("propagate")
    assert other.finish() is Finish.FAILED
    assert "is open elsewhere" in other.notices
    other.widget.form.folder.value = other.widget.form.folder.value.with_name("another")
    other.press("propagate")
    assert other.finish() is Finish.COMPLETED
    other.widget.draw.object_id.value = 7
    other.press("delete")
    assert other.finish() is Finish.COMPLETED
    assert other.ids_by_frame == [{1}] * 12
    assert window.ids_by_frame == [{1, 7}] * 12

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.utils.notifications import notification_manager

from napari_vos._napari.readers import get_reader, read_session
from napari_vos._napari.snapshot import METADATA
from napari_vos.frames import FrameStack
from napari_vos.io import open_frames
from napari_vos.session import Session


def test_a_session_opens_as_its_images_and_labels(
    factory: Any, images: np.ndarray, masks: np.ndarray, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "phase.tif", images, metadata={"axes": "TYX"})
    with Session(open_frames(tmp_path / "phase.tif"), folder=tmp_path / "session") as session:
        session.add_mask(0, masks[0])
    folder = str(tmp_path / "session")
    assert get_reader(folder) is read_session
    (shown, _, kind), (labels, about, labels_kind) = read_session(folder)
    assert (kind, labels_kind) == ("image", "labels")
    np.testing.assert_array_equal(np.asarray(shown), images)
    np.testing.assert_array_equal(labels[0], masks[0])
    assert about["metadata"] == {METADATA: {"session": folder}}


def test_two_channels_are_two_layers(factory: Any, images: np.ndarray, tmp_path: Path) -> None:
    stack = np.stack([images, images + 1], axis=1)
    tifffile.imwrite(tmp_path / "two.tif", stack, metadata={"axes": "TCYX"})
    Session(open_frames(tmp_path / "two.tif"), folder=tmp_path / "session").close()
    [(shown, about, _), _] = read_session(str(tmp_path / "session"))
    assert about["channel_axis"] == 1
    np.testing.assert_array_equal(np.asarray(shown), stack)


@pytest.mark.parametrize("lost", [True, False])
def test_images_that_are_not_there_are_a_notification(
    factory: Any, images: np.ndarray, tmp_path: Path, lost: bool
) -> None:
    path = tmp_path / "phase.tif"
    tifffile.imwrite(path, images, metadata={"axes": "TYX"})
    frames = open_frames(path) if lost else FrameStack(images, name="phase")
    Session(frames, folder=tmp_path / "session").close()
    path.unlink()
    notification_manager.records.clear()
    [(_, _, kind)] = read_session(str(tmp_path / "session"))
    assert kind == "labels"
    [record] = notification_manager.records
    assert "open" in record.message


def test_other_folders_are_left_to_others(tmp_path: Path) -> None:
    assert get_reader(str(tmp_path)) is None
    assert get_reader([str(tmp_path)]) is None

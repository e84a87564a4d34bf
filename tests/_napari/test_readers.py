from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from napari.layers import Image, Labels
from napari.utils.notifications import notification_manager

from napari_vos._napari.job import Job, OpenSessions
from napari_vos._napari.readers import get_reader, read_session
from napari_vos._napari.snapshot import AXES, METADATA, take_image
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
    assert about["metadata"] == {METADATA: {"session": folder, AXES: "TYX"}}


@pytest.mark.parametrize("axes", ["TCYX", "TYXS", "CTYX", "TZYX"])
def test_what_is_shown_is_what_the_session_was_made_on(
    factory: Any, images: np.ndarray, masks: np.ndarray, tmp_path: Path, axes: str
) -> None:
    lengths = {"T": 12, "C": 2, "Z": 1, "Y": 24, "X": 40, "S": 3}
    shape = [lengths[axis] for axis in axes]
    stack = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    zarr.create_array(tmp_path / "movie.zarr", data=stack, dimension_names=list(axes.lower()))
    with Session(open_frames(tmp_path / "movie.zarr"), folder=tmp_path / "session") as session:
        session.add_mask(0, masks[0])
    (shown, about, _), (labels, labels_about, _) = read_session(str(tmp_path / "session"))
    layer = Image(shown, **about)
    assert layer.rgb == (axes == "TYXS")
    results = Labels(labels, **labels_about)
    assert results.data.shape == layer.data.shape[: layer.ndim]
    assert results.axis_labels == layer.axis_labels
    with Session.load(tmp_path / "session", take_image(layer).open()) as session:
        np.testing.assert_array_equal(session.labels[0], masks[0])


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


@pytest.mark.parametrize("letters", ["TYX", "CTYX", "TZYX"])
@pytest.mark.parametrize("is_file", [True, False])
def test_layers_lie_where_they_lay(
    factory: Any, images: np.ndarray, tmp_path: Path, letters: str, is_file: bool
) -> None:
    stack = {
        "TYX": images,
        "CTYX": np.stack([images, images + 1]),
        "TZYX": images[:, None],
    }[letters]
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, np.ascontiguousarray(stack), metadata={"axes": letters})
    n_dims = len(letters)
    placed = {
        "scale": (2, 3, 0.5, 0.25)[-n_dims:],
        "translate": (1, 2, 3, 4)[-n_dims:],
        "rotate": 30,
        "units": ("s", "um", "um", "um")[-n_dims:],
        "axis_labels": tuple(letters.lower()),
    }
    layer = Image(stack, name="movie", **placed)
    image = replace(take_image(layer), path=path if is_file else None)
    sessions = OpenSessions()
    list(sessions.show(Job(image, None, folder=tmp_path / "session")))
    sessions.close()
    layers = read_session(str(tmp_path / "session"))
    assert len(layers) == 1 + is_file
    kinds = {"image": Image, "labels": Labels}
    for data, about, kind in layers:
        opened = kinds[kind](data, **about)
        assert opened.data.shape == stack.shape
        for name in image.placement:
            expected, found = (np.asarray(getattr(each, name)) for each in (layer, opened))
            assert (expected == found).all(), name


def test_only_some_channels_were_seen(factory: Any, images: np.ndarray, tmp_path: Path) -> None:
    stack = np.stack([images, images + 1], axis=1)
    tifffile.imwrite(tmp_path / "two.tif", stack, metadata={"axes": "TCYX"})
    Session(open_frames(tmp_path / "two.tif", channels=[1]), folder=tmp_path / "session").close()
    [(shown, about, _), _] = read_session(str(tmp_path / "session"))
    sessions = OpenSessions()
    image = take_image(Image(shown, **about))
    [session] = sessions.show(Job(image, None, folder=tmp_path / "session"))
    assert session.frames.channels == (1,)
    sessions.close()

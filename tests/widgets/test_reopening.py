"""Sessions that are opened again in a window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_vos._napari.job import EngineOptions
from napari_vos.cli.continuing import open_session
from napari_vos.configs import InteractionConfig, MastConfig, MivosConfig
from napari_vos.frames import FrameStack
from napari_vos.io import open_frames
from napari_vos.session import Finish, Session
from napari_vos.session.engine import EngineChoice
from napari_vos.session.settings import SessionSettings
from napari_vos.session.spans import Reach
from napari_vos.store.folder import read_about
from napari_vos.widgets.form import PropagateForm

pytestmark = pytest.mark.gui

CHOICE = {"engine": "mast", "config": MastConfig(radius=8), "device": "cpu"}


@pytest.fixture
def empty(make_napari_viewer: Any, add_widget: Callable[[Any], Any]) -> Any:
    """A window without layers, with the widget."""
    window = add_widget(make_napari_viewer())
    window.widget.form.folder.value = None
    return window


@pytest.fixture
def interrupted(factory: Any, images: np.ndarray, masks: np.ndarray, tmp_path: Path) -> Path:
    """A session of MAST that was stopped on the way, with an interactor that was set."""
    tifffile.imwrite(tmp_path / "phase.tif", images, metadata={"axes": "TYX"})
    folder = tmp_path / "interrupted"
    with Session(open_frames(tmp_path / "phase.tif"), folder=folder, **CHOICE) as session:
        session.choose_interactor("compact", config=InteractionConfig(local=True, batch_size=2))
        session.add_mask(0, masks[0])
        steps = session.propagate(frames=(0, 8), direction="forward")
        for _ in range(3):
            next(steps)
        steps.close()
    return folder


def test_looking_changes_no_settings(empty: Any, interrupted: Path) -> None:
    settings = SessionSettings.from_json(read_about(interrupted))
    empty.widget.open_session(interrupted)
    assert empty.finish() is Finish.COMPLETED
    empty.viewer.close()
    assert SessionSettings.from_json(read_about(interrupted)) == settings
    frames = open_frames(interrupted.with_name("phase.tif"))
    open_session(interrupted, frames, weights=None, precision="auto", **CHOICE).close()


def test_the_fields_say_what_the_session_says(empty: Any, interrupted: Path, factory: Any) -> None:
    form, draw = empty.widget.form, empty.widget.draw
    empty.widget.open_session(interrupted)
    assert empty.finish() is Finish.COMPLETED
    assert (form.engine.value, form.device.value) == ("mast", "cpu")
    assert (form.first.value, form.last.value, form.direction.value) == (0, 8, "forward")
    assert draw.local.value
    assert draw.chosen.config == InteractionConfig(local=True, batch_size=2)
    factory.made.clear()
    form.user_frames.value = "what is drawn"
    empty.press("propagate")
    assert empty.finish() is Finish.COMPLETED
    # The round that was interrupted has gone on, with its engine.
    assert [span.done_until for span in factory.spans] == [3]
    assert factory.arguments[-1]["config"] == MastConfig(radius=8)
    assert sum(bool(ids) for ids in empty.ids_by_frame) == 9


def test_what_is_changed_then_is_meant(empty: Any, interrupted: Path) -> None:
    form = empty.widget.form
    empty.widget.open_session(interrupted)
    assert empty.finish() is Finish.COMPLETED
    form.engine.value, form.last.value = "compact", 5
    empty.press("propagate")
    assert empty.finish() is Finish.COMPLETED
    settings = SessionSettings.from_json(read_about(interrupted))
    assert settings.engine == EngineChoice("compact", device="cpu")
    assert settings.reach == Reach((0, 5), "forward")
    # Choosing the same session in other ways leaves what the user changes.
    form.engine.value = "mivos"
    form.folder.value = interrupted
    assert form.engine.value == "mivos"


def test_each_session_has_its_own_settings(
    empty: Any, interrupted: Path, images: np.ndarray, tmp_path: Path
) -> None:
    form = empty.widget.form
    Session(FrameStack(images, name="other"), folder=tmp_path / "other").close()
    empty.widget.open_session(interrupted)
    assert empty.finish() is Finish.COMPLETED
    form.folder.value = tmp_path / "other"
    assert (form.engine.value, form.direction.value) == ("compact", "both")
    assert form.frames is None
    form.folder.value = None
    assert form.engine.value == "mast"
    # A new one gets what the fields show alone.
    assert form.options.config == MastConfig(radius=8)
    form.folder.value = tmp_path / "new"
    assert form.options == EngineOptions("mast", device="cpu")
    assert empty.widget.draw.chosen.config == InteractionConfig(local=True)


def test_what_no_field_shows_is_kept(mivos_files: tuple[Path, Path]) -> None:
    form = PropagateForm()
    fusion = str(mivos_files[1])
    config = MivosConfig(top_k=20, fusion_weights=fusion, refine="quarter")
    choice = EngineChoice("mivos", config, "mivos-name", "cuda:1")
    form.fill(SessionSettings(choice), 12)
    assert EngineChoice(*vars(form.options).values()).to_json() == choice.to_json()
    form.settings.reset_choices()
    assert form.device.value == "cuda:1"
    form.refine.value = False
    form.fusion_weights.value = None
    assert form.options.config == MivosConfig(top_k=20)
    form.engine.value = "mast"
    assert form.options.config is None


def test_what_no_field_shows_of_an_interactor_is_kept_with_it(empty: Any) -> None:
    draw = empty.widget.draw
    config = InteractionConfig(batch_size=2)
    draw.fill(EngineOptions("compact", config, "compact-name", "cpu"))
    assert draw.chosen == EngineOptions("compact", config, "compact-name", "cpu")
    draw.local.value = True
    assert draw.chosen.config == InteractionConfig(local=True, batch_size=2)
    draw.interactor.value = "random_walker"
    assert draw.chosen == EngineOptions("random_walker")


@pytest.mark.parametrize("axes", ["TCYX", "TYXS"])
def test_channels_and_colour_go_on(
    empty: Any, factory: Any, masks: np.ndarray, tmp_path: Path, axes: str
) -> None:
    shape = (12, 2, 24, 40) if axes == "TCYX" else (12, 24, 40, 3)
    images = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    tifffile.imwrite(tmp_path / "many.tif", images, metadata={"axes": axes})
    with Session(open_frames(tmp_path / "many.tif"), folder=tmp_path / "old") as session:
        session.add_mask(0, masks[0])
    image, results = empty.viewer.open(tmp_path / "old", plugin="napari-vos")
    empty.widget.form.image.value, empty.widget.form.labels.value = image, results
    empty.widget.form.user_frames.value = "what is drawn"
    empty.press("propagate")
    assert empty.finish() is Finish.COMPLETED
    assert empty.ids_by_frame == [{1, 7}] * 12
    assert results.data.shape == image.data.shape[: image.ndim]


def test_zarr_with_a_single_channel_opens(
    empty: Any, factory: Any, images: np.ndarray, masks: np.ndarray, tmp_path: Path
) -> None:
    names = ["t", "c", "y", "x"]
    zarr.create_array(tmp_path / "movie.zarr", data=images[:, None], dimension_names=names)
    with Session(open_frames(tmp_path / "movie.zarr"), folder=tmp_path / "old") as session:
        session.add_mask(0, masks[0])
    empty.widget.open_session(tmp_path / "old")
    assert empty.finish() is Finish.COMPLETED
    assert not empty.notices
    assert empty.viewer.layers[0].data.shape == (12, 24, 40)


def test_another_session_on_the_same_images_finds_their_file(
    empty: Any, interrupted: Path, tmp_path: Path
) -> None:
    form = empty.widget.form
    empty.widget.open_session(interrupted)
    assert empty.finish() is Finish.COMPLETED
    form.new_labels.changed.emit(True)
    form.labels.value.data[0, 4:8, 4:8] = 1
    form.user_frames.value = "all painted frames"
    form.folder.value = tmp_path / "second"
    empty.press("propagate")
    assert empty.finish() is Finish.COMPLETED
    assert read_about(tmp_path / "second")["frames"]["path"] == str(tmp_path / "phase.tif")


def test_another_movie_may_be_open(window: Any, interrupted: Path) -> None:
    viewer, widget = window
    viewer.layers["phase"].name = "another"
    viewer.add_image(np.zeros((5, 30, 30)), name="third")
    widget.form.image.value = viewer.layers["third"]
    widget.open_session(interrupted)
    assert window.finish() is Finish.COMPLETED
    assert widget.form.image.value is viewer.layers["phase.tif"]
    assert widget.form.labels.value is window.results
    assert widget.form.session_folder is None
    widget.form.user_frames.value = "what is drawn"
    window.press("propagate")
    assert window.finish() is Finish.COMPLETED
    assert sum(bool(ids) for ids in window.ids_by_frame) == 9


def test_images_that_are_missing_are_named(
    window: Any, factory: Any, images: np.ndarray, tmp_path: Path
) -> None:
    viewer, widget = window
    Session(FrameStack(images, name="mine"), folder=tmp_path / "old").close()
    viewer.add_image(np.zeros((5, 30, 30)), name="third")
    widget.form.image.value = viewer.layers["third"]
    widget.open_session(tmp_path / "old")
    assert widget.run is None
    assert "was made on 'mine', 12 frames of (24, 40) pixels" in window.notices
    assert "'third' doesn't fit" in window.notices
    assert "choose them under 'images'" in window.notices


def test_results_of_an_array_lie_where_it_lay(window: Any, tmp_path: Path) -> None:
    viewer, _ = window
    image = viewer.layers["phase"]
    window.press("propagate")
    assert window.finish() is Finish.COMPLETED
    viewer.layers.remove(window.results)
    [results] = viewer.open(tmp_path / "session", plugin="napari-vos")
    np.testing.assert_allclose(results.scale, image.scale)
    np.testing.assert_allclose(results.translate, image.translate)
    assert results.units == image.units
    assert results.axis_labels == image.axis_labels


def test_results_that_lay_elsewhere_are_placed(
    window: Any, factory: Any, images: np.ndarray, masks: np.ndarray, tmp_path: Path
) -> None:
    viewer, widget = window
    with Session(FrameStack(images, name="phase"), folder=tmp_path / "old") as session:
        session.add_mask(0, masks[0])
    widget.open_session(tmp_path / "old")
    assert window.finish() is Finish.COMPLETED
    image = viewer.layers["phase"]
    np.testing.assert_allclose(window.results.scale, image.scale)
    np.testing.assert_allclose(window.results.translate, image.translate)
    assert window.results.units == image.units


def test_results_are_spread_over_channels_that_come_later(
    empty: Any, factory: Any, images: np.ndarray, masks: np.ndarray, tmp_path: Path
) -> None:
    stack = np.stack([images, images + 1])
    with Session(FrameStack(stack, axes="CTYX"), folder=tmp_path / "old") as session:
        session.add_mask(0, masks[0])
    labels = ("c", "t", "y", "x")
    empty.viewer.add_image(stack, axis_labels=labels, scale=(1, 2, 3, 4))
    empty.widget.open_session(tmp_path / "old")
    assert empty.finish() is Finish.COMPLETED
    assert empty.results.data.shape == stack.shape
    np.testing.assert_allclose(empty.results.scale, (1, 2, 3, 4))
    empty.widget.form.user_frames.value = "what is drawn"
    empty.press("propagate")
    assert empty.finish() is Finish.COMPLETED
    assert np.asarray(empty.results.data[1, 5]).any()


def test_the_range_is_one_of_frames(empty: Any, images: np.ndarray) -> None:
    form = empty.widget.form
    empty.viewer.add_image(np.stack([images, images]), axis_labels=("c", "t", "y", "x"))
    assert (form.first.value, form.last.value, form.last.max) == (0, 11, 11)
    assert form.frames is None

"""Strokes, clicks, boxes and polygons drawn in a window become masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.utils.key_bindings import KeyBinding

from napari_vos.configs import InteractionConfig, MivosInteractionConfig
from napari_vos.session import Finish
from napari_vos.widgets.draw import NEW_LAYERS

pytestmark = pytest.mark.gui

CELL = np.s_[8:16, 10:20]


@pytest.fixture
def images() -> np.ndarray:
    """12 frames of 24 x 40 pixels: a bright cell that stays, and a second one."""
    images = np.random.default_rng(0).normal(100, 4, (12, 24, 40))
    images[:, *CELL] += 400
    images[:, 6:14, 28:36] += 300
    return images.astype(np.uint16)


@pytest.fixture
def drawing(window: Any) -> Any:
    """The window at frame 5, without the painted masks; object 3 is next."""
    window.viewer.layers.remove("masks")
    window.viewer.dims.set_point(0, 2 * 5)
    window.widget.draw.object_id.value = 3
    return window


def new_layer(window: Any, kind: str) -> Any:
    window.widget.draw.new_layers[kind].changed.emit(True)
    return window.widget.draw.layer.value


def at_cell(*points: tuple[float, float], t: int = 5) -> np.ndarray:
    return np.array([(t, y, x) for y, x in points], float)


def scribble(window: Any) -> None:
    layer = new_layer(window, "scribbles")
    assert layer.selected_label == 3
    layer.paint((5, 11, 13), 3)
    layer.events.paint(value=[])


def path(window: Any) -> None:
    new_layer(window, "shapes").add_paths(at_cell((10, 12), (12, 15), (13, 17)), edge_width=1)


def box(window: Any) -> None:
    new_layer(window, "shapes").add_rectangles(
        at_cell((7.6, 9.6), (7.6, 19.4), (15.4, 19.4), (15.4, 9.6))
    )


def click(window: Any) -> None:
    new_layer(window, "points").add(at_cell((11, 14)))


def polygon(window: Any) -> None:
    new_layer(window, "shapes").add_polygons(
        at_cell((7.5, 9.5), (7.5, 19.5), (15.5, 19.5), (15.5, 9.5))
    )


@pytest.mark.parametrize("draw", [scribble, path, box, click, polygon])
def test_each_kind_of_mark_gives_a_mask_and_a_propagated_stack(drawing: Any, draw: Any) -> None:
    draw(drawing)
    assert drawing.finish() is Finish.COMPLETED
    assert drawing.notices == ""
    found = np.asarray(drawing.results.data[5]) == 3
    truth = np.zeros((24, 40), bool)
    truth[CELL] = True
    assert (found & truth).sum() / (found | truth).sum() > 0.8
    assert [bool(ids) for ids in drawing.ids_by_frame] == [t == 5 for t in range(12)]
    drawing.press("propagate")
    assert drawing.finish() is Finish.COMPLETED
    assert drawing.ids_by_frame == [{3}] * 12


def test_strokes_on_results_can_be_scribbles(drawing: Any) -> None:
    click(drawing)
    drawing.finish()
    layer, draw = drawing.results, drawing.widget.draw
    first = np.asarray(layer.data[5]) == 3
    draw.rough.value = True
    layer.data_setitem((np.full(4, 5), np.full(4, 10), np.arange(30, 34)), 4)
    drawing.finish()
    second = np.asarray(layer.data[5]) == 4
    assert second[10, 30:34].all()
    assert second.sum() > 30
    np.testing.assert_array_equal(np.asarray(layer.data[5]) == 3, first)
    row = np.flatnonzero(first.any(axis=1))[-1]
    columns = np.flatnonzero(first[row])
    layer.data_setitem((np.full(columns.size, 5), np.full(columns.size, row), columns), 0)
    drawing.finish()
    after = np.asarray(layer.data[5])
    assert not after[row, columns].any()
    assert (after == 3).any()
    drawing.press("undo")
    drawing.finish()
    np.testing.assert_array_equal(np.asarray(layer.data[5]) == 3, first)
    assert drawing.notices == ""


def test_without_the_switch_masks_are_made_when_the_button_is_pressed(drawing: Any) -> None:
    drawing.widget.draw.automatic.value = False
    click(drawing)
    assert drawing.widget.run is None
    drawing.widget.draw.make.changed.emit(True)
    assert drawing.finish() is Finish.COMPLETED
    assert drawing.ids_by_frame[5] == {3}


def test_strokes_are_not_propagated_as_masks(drawing: Any) -> None:
    drawing.widget.draw.automatic.value = False
    scribble(drawing)
    assert drawing.widget.form.labels.value is drawing.widget.draw.layer.value
    drawing.press("propagate")
    assert drawing.finish() is Finish.FAILED
    assert "No object is marked on 'phase' yet" in drawing.notices
    assert drawing.ids_by_frame == [set()] * 12


def test_only_what_is_new_is_taken(drawing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_vos.session import Session

    said: list[list[tuple[int, bool]]] = []
    draw = Session.draw

    def spy(session: Session, prompts: Any, **options: Any) -> bool:
        said.append([(each.object_id, getattr(each, "positive", True)) for each in prompts])
        return draw(session, prompts, **options)

    monkeypatch.setattr(Session, "draw", spy)
    click(drawing)
    drawing.finish()
    drawing.widget.draw.object_id.value = 4
    layer = drawing.widget.draw.layer.value
    layer.add(at_cell((10, 31)))
    drawing.finish()
    drawing.widget.draw.negative.value = True
    layer.add(at_cell((2, 2)))
    drawing.finish()
    assert said == [[(3, True)], [(4, True)], [(4, False)]]
    assert drawing.ids_by_frame[5] == {3, 4}
    # Nothing is new: the button makes those of the shown frame again.
    drawing.widget.draw.make.changed.emit(True)
    drawing.finish()
    assert said[3:] == [[(3, True), (4, True), (4, False)]]


def test_painted_strokes_are_taken_once_and_negative_ones_have_a_label_of_their_own(
    drawing: Any,
) -> None:
    scribble(drawing)
    drawing.finish()
    layer, draw = drawing.widget.draw.layer.value, drawing.widget.draw
    before = np.asarray(drawing.results.data[5]) == 3
    assert before[14, 18]
    draw.negative.value = True
    assert layer.selected_label == 65535
    layer.data[5, 13:16, 17:20] = layer.selected_label
    layer.events.paint(value=[])
    drawing.finish()
    after = np.asarray(drawing.results.data[5])
    assert not (after[13:16, 17:20] == 3).any()
    assert (after == 3).any()
    assert set(np.unique(after)) == {0, 3}
    layer.selected_label = 8
    assert draw.object_id.value == 8
    assert not draw.negative.value


def test_a_stroke_during_a_run_is_taken_when_that_has_ended(drawing: Any, qtbot: Any) -> None:
    click(drawing)
    qtbot.waitUntil(lambda: drawing.widget.run is not None)
    drawing.widget.draw.object_id.value = 4
    drawing.widget.draw.layer.value.add(at_cell((10, 31)))
    qtbot.waitUntil(
        lambda: not drawing.widget.is_busy and drawing.ids_by_frame[5] == {3, 4},
        timeout=120_000,
    )
    assert drawing.notices == ""


def test_what_cannot_be_used_is_told_once(drawing: Any) -> None:
    drawing.widget.draw.make.changed.emit(True)
    assert "No layer to draw on is chosen" in drawing.notices
    drawing.widget.draw.negative.value = True
    click(drawing)
    assert drawing.finish() is Finish.FAILED
    assert "Draw a positive scribble, point or box first" in drawing.notices
    drawing.widget.draw.negative.value = False
    drawing.widget.draw.layer.value.add(at_cell((11, 14)))
    assert drawing.finish() is Finish.COMPLETED
    assert drawing.ids_by_frame[5] == {3}


def test_undo_takes_a_mask_back(drawing: Any) -> None:
    click(drawing)
    drawing.finish()
    drawing.press("undo")
    drawing.finish()
    assert drawing.ids_by_frame[5] == set()


@pytest.mark.parametrize("kind", NEW_LAYERS)
def test_new_layers_lie_on_the_images(drawing: Any, kind: str) -> None:
    layer = new_layer(drawing, kind)
    assert layer.name == f"phase {kind}"
    np.testing.assert_allclose(layer.scale, drawing.viewer.layers["phase"].scale)
    np.testing.assert_allclose(layer.translate, drawing.viewer.layers["phase"].translate)


def test_keys_press_buttons_and_are_freed(drawing: Any, qtbot: Any) -> None:
    viewer, widget = drawing
    texts = [each.text for each in (widget.propagate, widget.cancel, widget.undo, widget.draw.make)]
    assert [text[-6:-1] for text in texts] == ["Alt-R", "Alt-C", "Alt-U", "Alt-M"]

    def press(key: str) -> None:
        viewer.keymap[KeyBinding.from_str(key)](viewer)

    widget.draw.automatic.value = False
    click(drawing)
    press("Alt-T")
    assert widget.draw.negative.value
    press("Alt-T")
    press("Alt-U")  # nothing to undo: the button is disabled
    assert widget.run is None
    press("Alt-M")
    assert drawing.finish() is Finish.COMPLETED
    press("Alt-R")
    assert drawing.finish() is Finish.COMPLETED
    assert drawing.ids_by_frame == [{3}] * 12
    viewer.window.remove_dock_widget(widget.native)
    with qtbot.waitSignal(widget.native.destroyed):
        widget.native.deleteLater()
    assert KeyBinding.from_str("Alt-M") not in viewer.keymap
    viewer.layers["phase points"].add(at_cell((10, 31)))  # nobody hears


def test_the_next_frame_to_check_is_shown(drawing: Any) -> None:
    viewer, widget = drawing
    assert not widget.review.check.enabled
    click(drawing)
    drawing.finish()
    drawing.press("propagate")
    drawing.finish()

    def shown() -> float:
        drawing.key("Alt-N")
        drawing.finish()
        return viewer.dims.point[0] / 2

    # The fake engine gets less sure with each frame from the fifth.
    assert shown() == 11
    second = shown()
    assert second in (0, 10)
    assert f"Frame {second:.0f}:" in widget.status.value


def test_masks_can_change_around_strokes_alone(drawing: Any) -> None:
    draw = drawing.widget.draw
    draw.local.value = True
    configs = {}
    for draw.interactor.value in ("compact", "mivos", "random_walker"):
        configs[draw.interactor.value] = draw.chosen.config
    assert configs == {
        "compact": InteractionConfig(local=True),
        "mivos": MivosInteractionConfig(local=True),
        "random_walker": None,
    }
    draw.local.value = False
    assert draw.chosen.config is None

"""Draw, propagate, look, correct, accept and undo, as a person does in a window."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_vos._napari.changes import EXCHANGED, GAINED, LOST
from napari_vos.frames import FrameStack
from napari_vos.session import Finish, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.gui


@pytest.fixture
def propagated(window: Any) -> Any:
    """The window with objects 1 and 7 on all frames, at frame 6."""
    window.press("propagate")
    assert window.finish() is Finish.COMPLETED
    window.viewer.dims.set_point(0, 2 * 6)
    return window


def paint(window: Any, label: int, rows: slice, columns: slice, t: int = 6) -> None:
    """End a stroke of the brush on the results."""
    layer = window.results
    indices = np.indices((24, 40))[:, rows, columns].reshape(2, -1)
    layer.data_setitem((np.full(indices.shape[1], t), *indices), label)


@contextmanager
def mouse_pressed(layer: Any) -> Iterator[None]:
    """Keep the mouse pressed, as far as what hears of strokes can tell."""
    event = SimpleNamespace(type="mouse_press")
    drag = layer.mouse_drag_callbacks[0](layer, event)
    next(drag)
    event.type = "mouse_move"
    next(drag)
    yield
    event.type = "mouse_release"
    assert next(drag, None) is None


def add_click(window: Any, object_id: int, y: float, x: float, t: int = 6) -> None:
    draw = window.widget.draw
    if draw.layer.value is None:
        draw.new_layers["points"].changed.emit(True)
    draw.object_id.value = object_id
    draw.layer.value.add(np.array([(t, y, x)], float))


def user_frames(window: Any, object_id: int) -> tuple[int, ...]:
    session = window.widget._chosen.aim().session
    return session.user_frames(object_id)


def shown(window: Any) -> float:
    return window.viewer.dims.point[0] / 2


def changes(window: Any) -> Any:
    return next((each for each in window.viewer.layers if each.name == "phase changes"), None)


def test_a_newer_stroke_takes_the_place_of_a_running_one(
    propagated: Any, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    from napari_vos.session.interaction import Interaction

    began, may_end = threading.Event(), threading.Event()
    said: list[list[int]] = []
    segment = Interaction.segment

    def slow(self: Interaction, prompts: Any) -> Any:
        said.append([prompt.object_id for prompt in prompts])
        began.set()
        may_end.wait(120)
        return segment(self, prompts)

    monkeypatch.setattr(Interaction, "segment", slow)
    before = propagated.ids_by_frame[6]
    add_click(propagated, 3, 18, 30)
    qtbot.waitUntil(began.is_set, timeout=120_000)
    add_click(propagated, 4, 4, 30)
    may_end.set()
    assert propagated.finish() is Finish.COMPLETED
    # The first answer was dropped, and no stroke was lost.
    assert said == [[3], [3, 4]]
    assert propagated.ids_by_frame[6] == before | {3, 4}
    propagated.press("undo")
    propagated.finish()
    assert propagated.ids_by_frame[6] == before


def test_corrections_are_propagated_without_being_asked(propagated: Any) -> None:
    widget = propagated.widget
    widget.automatic.value = True
    add_click(propagated, 3, 18, 30)
    propagated.finish()
    assert propagated.ids_by_frame == [{1, 3, 7}] * 12
    paint(propagated, 9, slice(2, 6), slice(30, 34))
    propagated.finish()
    assert propagated.ids_by_frame == [{1, 3, 7, 9}] * 12
    assert widget.form.user_frames.value == "what is drawn"


@pytest.fixture
def interrupted(window: Any, factory: Any) -> Any:
    """Call with what the user does during a run that waits for it; the run ends then."""

    def interrupt(act: Callable[[], None]) -> None:
        acted = threading.Event()
        factory.look = lambda frames, t: t == 5 and acted.wait(120)

        def hear(progress: Any, _: str) -> None:
            if progress.n_done == 3:
                act()
                acted.set()

        window.press("propagate")
        window.widget.run.progressed.connect(hear)
        assert window.finish() is Finish.COMPLETED

    return interrupt


def brush(window: Any, object_id: int, y: int, x: int, t: int) -> None:
    """Look at a frame and end a stroke of the brush on the layer of scribbles."""
    layer, draw = window.widget.draw.layer.value, window.widget.draw
    window.viewer.dims.set_point(0, 2 * t)
    draw.object_id.value = object_id
    layer.brush_size = 3
    layer.paint((t, y, x), layer.selected_label)


def test_scribbles_during_a_run_stay_on_their_frames(window: Any, interrupted: Any) -> None:
    draw = window.widget.draw

    def scribble() -> None:
        draw.new_layers["scribbles"].changed.emit(True)
        brush(window, 3, 20, 6, t=5)
        brush(window, 4, 20, 32, t=6)
        draw.new_layers["points"].changed.emit(True)  # and on another layer
        window.viewer.dims.set_point(0, 2 * 9)
        add_click(window, 8, 3, 32, t=9)
        window.viewer.dims.set_point(0, 2 * 11)

    interrupted(scribble)
    assert window.notices == ""
    assert window.ids_by_frame == [{1, 3, 4, 7, 8}] * 12
    assert [user_frames(window, i) for i in (3, 4, 8)] == [(5,), (6,), (9,)]


def test_clicks_without_time_stay_on_the_frame_where_they_were_drawn(
    window: Any, interrupted: Any
) -> None:
    flat = window.viewer.add_points(ndim=2, scale=(0.5, 0.5), translate=(3, 4), name="clicks")
    window.widget.draw.layer.value = flat

    def click() -> None:
        window.viewer.dims.set_point(0, 2 * 5)
        window.widget.draw.object_id.value = 3
        flat.add((20, 6))
        window.viewer.dims.set_point(0, 2 * 9)

    interrupted(click)
    assert user_frames(window, 3) == (5,)


def test_a_scribble_that_cannot_be_used_takes_no_other_frame_along(propagated: Any) -> None:
    panel = propagated.widget.draw
    panel.new_layers["scribbles"].changed.emit(True)
    panel.automatic.value = False
    panel.negative.value = True
    brush(propagated, 3, 20, 6, t=5)  # there is no object 3
    panel.negative.value = False
    brush(propagated, 4, 20, 32, t=6)
    panel.make.changed.emit(True)
    assert propagated.finish() is Finish.FAILED
    assert "Object 3 isn't on frame 5 yet" in propagated.notices
    assert propagated.ids_by_frame[6] == {1, 4, 7}


def test_a_newer_scribble_leaves_the_one_it_supersedes_on_its_frame(
    propagated: Any, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    from napari_vos.session.interaction import Interaction

    began, may_end = threading.Event(), threading.Event()
    segment = Interaction.segment

    def slow(self: Interaction, prompts: Any) -> Any:
        began.set()
        may_end.wait(120)
        return segment(self, prompts)

    monkeypatch.setattr(Interaction, "segment", slow)
    propagated.widget.draw.new_layers["scribbles"].changed.emit(True)
    brush(propagated, 3, 20, 6, t=5)
    qtbot.waitUntil(began.is_set, timeout=120_000)
    brush(propagated, 4, 20, 32, t=6)
    may_end.set()
    assert propagated.finish() is Finish.COMPLETED
    assert propagated.ids_by_frame[5:7] == [{1, 3, 7}, {1, 4, 7}]


def test_what_is_no_part_of_an_object_is_known_when_it_is_drawn(
    propagated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[int, bool]] = []
    draw = Session.draw

    def spy(session: Session, prompts: Any, **options: Any) -> bool:
        said.extend((each.object_id, each.positive) for each in prompts)
        return draw(session, prompts, **options)

    monkeypatch.setattr(Session, "draw", spy)
    panel = propagated.widget.draw
    panel.new_layers["scribbles"].changed.emit(True)
    panel.automatic.value = False
    panel.negative.value = True
    brush(propagated, 1, 20, 6, t=6)
    brush(propagated, 7, 20, 32, t=6)
    panel.make.changed.emit(True)
    assert propagated.finish() is Finish.COMPLETED
    assert said == [(1, False), (7, False)]
    panel.object_id.value = 1
    panel.make.changed.emit(True)
    assert propagated.finish() is Finish.COMPLETED
    assert said == [(1, False), (7, False)] * 2


@pytest.mark.parametrize("kind", ["drawn", "painted on another layer"])
def test_a_correction_during_a_run_plans_what_is_left_anew(
    window: Any, factory: Any, masks: np.ndarray, kind: str
) -> None:
    corrected = threading.Event()
    factory.look = lambda frames, t: t == 5 and corrected.wait(120)

    def correct(progress: Any, _: str) -> None:
        if progress.n_done == 3:
            window.viewer.dims.set_point(0, 2 * 6)
            if kind == "drawn":
                add_click(window, 3, 18, 30)
            else:
                masks[6, 18:22, 30:34] = 3
                window.press("propagate")
            corrected.set()

    window.press("propagate")
    window.widget.run.progressed.connect(correct)
    assert window.finish() is Finish.COMPLETED
    assert window.ids_by_frame == [{1, 3, 7}] * 12
    # What was finished before isn't run again.
    ran = [(span.object_ids, span.done_until) for span in factory.spans if 1 in span.object_ids]
    assert ran == [((1, 7), None), ((1, 7), 5)]


def test_results_can_be_painted_while_they_come(window: Any, factory: Any) -> None:
    pressed, released = threading.Event(), threading.Event()
    waits = {5: pressed, 9: released}
    factory.look = lambda frames, t: t in waits and waits[t].wait(120)
    stroke, seen = ExitStack(), []

    def draw(progress: Any, _: str) -> None:
        layer = window.results
        if progress.n_done == 3:
            window.viewer.dims.set_point(0, 2 * 6)
            layer.mode = "paint"
            stroke.enter_context(mouse_pressed(layer))
            stroke.enter_context(layer.block_history())
            paint(window, 9, slice(18, 22), slice(30, 34))
            pressed.set()
        elif progress.n_done == 8:  # results have come to the frame under the brush
            seen.append(np.unique(layer.data[6]).tolist())
            stroke.close()
            released.set()

    window.press("propagate")
    window.widget.run.progressed.connect(draw)
    assert window.finish() is Finish.COMPLETED
    assert seen == [[0, 9]]
    assert window.ids_by_frame == [{1, 7, 9}] * 12
    assert window.results.mode == "paint"


def test_a_stroke_that_cannot_be_used_does_not_end_a_run(window: Any, factory: Any) -> None:
    drawn = threading.Event()
    factory.look = lambda frames, t: t == 5 and drawn.wait(120)

    def draw(progress: Any, _: str) -> None:
        if progress.n_done == 3:
            window.widget.draw.negative.value = True
            add_click(window, 3, 18, 30)
            drawn.set()

    window.press("propagate")
    window.widget.run.progressed.connect(draw)
    assert window.finish() is Finish.COMPLETED
    assert "Object 3 isn't on frame 6 yet" in window.notices
    assert window.ids_by_frame == [{1, 7}] * 12


def test_a_correction_on_results_changes_the_object_it_touches_alone(
    propagated: Any, qtbot: Any
) -> None:
    layer, widget = propagated.results, propagated.widget
    before = np.asarray(layer.data[:])
    layer.mode = "paint"
    seven = np.argwhere(before[6] == 7)
    (top, left), (bottom, right) = seven.min(axis=0), seven.max(axis=0)
    paint(propagated, 0, slice(top, top + 1), slice(left, right + 1))
    paint(propagated, 7, slice(bottom + 1, bottom + 3), slice(left, right + 1))
    propagated.key("Alt-R")
    assert propagated.finish() is Finish.COMPLETED
    after = np.asarray(layer.data[:])
    assert layer.mode == "paint"
    np.testing.assert_array_equal(after == 1, before == 1)
    assert (after[7] != before[7]).any()
    assert "Changed: " in widget.status.value
    qtbot.waitUntil(lambda: changes(propagated).data[7].any(), timeout=60_000)
    shown = np.asarray(changes(propagated).data[7])
    np.testing.assert_array_equal(shown == LOST, (before[7] > 0) & (after[7] == 0))
    np.testing.assert_array_equal(shown == GAINED, (before[7] == 0) & (after[7] > 0))
    assert {LOST, GAINED} <= set(np.unique(shown)) <= {0, LOST, GAINED, EXCHANGED}
    widget.review.changes.value = False
    assert changes(propagated) is None
    widget.review.changes.value = True
    assert changes(propagated) is not None
    propagated.key("Alt-U")
    propagated.finish()
    assert changes(propagated) is None
    np.testing.assert_array_equal(np.delete(layer.data[:], 6, 0), np.delete(before, 6, 0))
    propagated.press("undo")
    propagated.finish()
    np.testing.assert_array_equal(layer.data[:], before)


def test_strokes_of_the_layer_cannot_be_undone_over_new_results(propagated: Any) -> None:
    layer = propagated.results
    paint(propagated, 9, slice(18, 22), slice(30, 34))
    propagated.press("propagate")
    propagated.finish()
    ran = np.asarray(layer.data[:])
    layer.undo()
    np.testing.assert_array_equal(layer.data[:], ran)
    assert propagated.ids_by_frame[11] == {1, 7, 9}


def test_an_object_that_is_painted_away_ends(propagated: Any) -> None:
    paint(propagated, 0, slice(10, 18), slice(0, 40))
    propagated.press("propagate")
    propagated.finish()
    assert propagated.ids_by_frame == [{1, 7}] * 6 + [{1}] * 6


def test_what_is_accepted_stays(propagated: Any) -> None:
    layer, review = propagated.results, propagated.widget.review
    propagated.viewer.dims.set_point(0, 2 * 8)
    propagated.key("Alt-A")
    propagated.finish()
    accepted = np.asarray(layer.data[8])
    review.alone.value = True
    propagated.viewer.dims.set_point(0, 2 * 9)
    propagated.widget.draw.object_id.value = 7
    propagated.press("accept")
    propagated.finish()
    alone, before = np.asarray(layer.data[9]), np.asarray(layer.data[7])
    propagated.viewer.dims.set_point(0, 2 * 6)
    for label, row in ((1, 18), (7, 4)):  # both jump elsewhere
        paint(propagated, 0, slice(row - 18 + 2, row - 18 + 6), slice(0, 40))
        paint(propagated, label, slice(row, row + 4), slice(30, 34))
    propagated.press("propagate")
    propagated.finish()
    np.testing.assert_array_equal(layer.data[8], accepted)
    np.testing.assert_array_equal(layer.data[9] == 7, alone == 7)
    assert (np.asarray(layer.data[7]) != before).any()


def test_a_click_on_the_timeline_goes_there(propagated: Any, qtbot: Any) -> None:
    timeline = propagated.widget.timeline
    place = QPoint(round(timeline.position_of(9)), 15)
    qtbot.mouseClick(timeline, Qt.MouseButton.LeftButton, pos=place)
    assert shown(propagated) == 9
    picture = timeline.grab().toImage()
    left = [picture.pixelColor(round(timeline.position_of(t)), 5).name() for t in (0, 5)]
    assert left == ["#ffffff", "#1c1f26"]  # frame 0 is the user's


def test_objects_are_deleted_ended_merged_and_split(propagated: Any) -> None:
    widget = propagated.widget
    aim, objects = widget.draw.object_id, widget.objects
    propagated.results.selected_label = 7
    assert aim.value == 7
    propagated.press("end")
    propagated.finish()
    assert propagated.ids_by_frame == [{1, 7}] * 6 + [{1}] * 6
    propagated.press("undo")
    propagated.finish()
    objects.other.value = 1
    propagated.press("merge")
    propagated.finish()
    assert propagated.ids_by_frame == [{7}] * 12
    propagated.press("split")
    propagated.finish()
    [new] = propagated.ids_by_frame[6] - {7}
    assert widget.status.value.startswith(f"Object {new} is new")
    aim.value = new
    propagated.press("delete")
    propagated.finish()
    assert propagated.ids_by_frame[6] == {7}
    propagated.press("delete")
    assert propagated.finish() is Finish.FAILED
    assert f"There is no object {new}" in propagated.notices


def test_strokes_tell_where_an_object_is_split(propagated: Any) -> None:
    draw = propagated.widget.draw
    draw.automatic.value = False
    seven = np.argwhere(np.asarray(propagated.results.data[6]) == 7)
    top, bottom = seven[0], seven[-1]
    add_click(propagated, 7, *top)
    draw.negative.value = True
    add_click(propagated, 7, *bottom)
    propagated.press("split")
    propagated.finish()
    assert propagated.notices == ""
    after = np.asarray(propagated.results.data[6])
    assert after[tuple(top)] == 7
    assert after[tuple(bottom)] not in (0, 1, 7)


def test_a_panel_that_is_closed_alone_leaves_its_session(
    propagated: Any, tmp_path: Path, images: np.ndarray
) -> None:
    viewer, widget = propagated
    paint(propagated, 8, slice(18, 22), slice(2, 6))
    viewer.window.remove_dock_widget(widget.native)
    assert "Alt-R" not in {str(key) for key in viewer.keymap}
    with Session.load(tmp_path / "session", FrameStack(images, name="phase")) as session:
        # What was painted and not propagated yet isn't lost.
        assert session.object_ids == (1, 7, 8)
        assert session.user_frames(8) == (6,)
    viewer.dims.set_point(0, 0)
    paint(propagated, 9, slice(18, 22), slice(30, 34))  # nobody hears

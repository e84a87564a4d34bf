"""Adapting in a session, with a line to learn instead of a network."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_vos import FrameStack
from napari_vos.errors import FramesError, NapariVosError, PromptError, StoreError
from napari_vos.session import Session, adaptation
from napari_vos.session.adaptation import StackAdaptation
from tests.lessons import LineLessons

N_STEPS = 20


class Lessons:
    """Stands for what engines learn from."""

    def __init__(self) -> None:
        self.annotated: list[list[int]] = []
        self.start_from: list[Any] = []
        self.spoil = 1.0
        self.worse = 0.0
        """How much lower J is with other weights than those asked for."""


@pytest.fixture
def lessons(monkeypatch: pytest.MonkeyPatch) -> Lessons:
    given = Lessons()

    def lessons_of(self: StackAdaptation, annotated: Any) -> LineLessons:
        given.annotated.append(sorted(annotated))
        given.start_from.append(self._start_from.weights)
        line = LineLessons()
        line.spoil = given.spoil
        return line

    own = StackAdaptation._try

    def attempt(self: StackAdaptation, annotated: Any, pair: Any, choice: Any) -> Any:
        found = yield from own(self, annotated, pair, choice)
        return found - given.worse * (choice.weights is not None)

    monkeypatch.setattr(StackAdaptation, "_lessons", lessons_of)
    monkeypatch.setattr(StackAdaptation, "_try", attempt)
    return given


@pytest.fixture
def session(factory: Any, fake: Any, tmp_path: Path) -> Session:
    frames = fake.FakeFrames()
    session = Session(frames, folder=tmp_path / "own")
    session.add_mask(0, fake.blocks(frames.shape, o1=(2, 2), o2=(10, 20)))
    return session


def adapt(session: Session, n_steps: int = N_STEPS) -> Any:
    steps = session.adapt(minutes=60)
    for step in steps:
        if step.step == n_steps and step.loss is not None:
            steps.close()
            break
    return session.adapted


def mark_another(session: Session, fake: Any) -> None:
    """Where the engine comes to from frame 0, and a bit higher."""
    session.add_mask(4, fake.blocks(session.frames.shape, o1=(3, 8), o2=(10, 26), o9=(1, 30)))


def test_adapted_weights_serve_all_rounds_to_come(
    session: Session, lessons: Lessons, factory: Any
) -> None:
    session.run()
    assert not session.pending
    outcome = adapt(session)
    assert (outcome.engine, outcome.steps) == ("compact", N_STEPS)
    assert outcome.loss < outcome.start_loss
    assert outcome.weights.parent == session.folder / "weights"
    assert session.pending
    session.run()
    assert factory.arguments[-1]["weights"] == outcome.weights
    assert not session.pending
    # Learning goes on with what was learned.
    again = adapt(session)
    assert lessons.start_from == [None, outcome.weights]
    assert again.weights != outcome.weights or again.loss == outcome.loss


def test_undo_goes_back(session: Session, lessons: Lessons, factory: Any) -> None:
    session.run()
    outcome = adapt(session)
    session.undo()
    assert not session.pending
    session.redo()
    assert session.pending
    session.undo()
    session.undo()  # the round
    n_spans = [len(engine.spans) for engine in factory.made]
    session.run()
    ran = [len(engine.spans) > n for engine, n in zip(factory.made, n_spans, strict=True)]
    assert [factory.arguments[k]["weights"] for k in np.flatnonzero(ran)] == [None]
    assert outcome.weights.exists()


def test_other_weights_can_be_asked_for(
    session: Session, lessons: Lessons, factory: Any, tmp_path: Path
) -> None:
    adapt(session)
    session.choose_engine(weights="elsewhere.safetensors")
    session.run()
    assert factory.arguments[-1]["weights"] == "elsewhere.safetensors"
    session.choose_engine()
    session.add_mask(3, np.array(session.labels[3]))
    session.run()
    assert factory.arguments[-1]["weights"].parent == session.folder / "weights"


def test_they_go_with_the_session(
    session: Session, lessons: Lessons, factory: Any, tmp_path: Path
) -> None:
    name = adapt(session).weights.name
    session.run()
    session.save(tmp_path / "copy")
    session.close()
    with Session.load(tmp_path / "copy", session.frames) as copy:
        assert copy.replay().identical
        assert factory.arguments[-1]["weights"] == tmp_path / "copy" / "weights" / name
        copy.add_mask(3, np.array(copy.labels[3]))
        copy.run()
        assert factory.arguments[-1]["weights"] == tmp_path / "copy" / "weights" / name


def test_an_interrupted_round_goes_on_with_them(
    session: Session, lessons: Lessons, factory: Any, tmp_path: Path
) -> None:
    outcome = adapt(session)
    steps = session.propagate()
    next(steps)
    steps.close()
    session.close()
    with Session.load(tmp_path / "own", session.frames) as again:
        assert len(list(again.resume())) == session.frames.n_frames - 2
        assert factory.arguments[-1]["weights"] == outcome.weights


def test_two_marked_frames_are_compared(session: Session, lessons: Lessons, fake: Any) -> None:
    mark_another(session, fake)
    outcome = adapt(session)
    # Nothing is learned from the frame that is propagated to.
    assert lessons.annotated == [[0]]
    way, before, after = outcome.comparison
    assert way == (0, 4)
    assert 0.5 < before == after < 1
    assert outcome.weights is not None
    assert f"from frame 0 to frame 4, J was {before:.3f}" in str(outcome)


def test_one_marked_frame_is_compared_with_itself_there_and_back(
    session: Session, lessons: Lessons, factory: Any
) -> None:
    outcome = adapt(session)
    assert lessons.annotated == [[0]]
    turn = adaptation.FRAMES_THERE_AND_BACK
    assert outcome.comparison.way == (0, turn, 0)
    ways = [(span.start, span.direction) for engine in factory.made for span in engine.spans]
    assert ways == 2 * [(0, 1), (turn, -1)]
    assert outcome.comparison.before == 1
    assert f"from frame 0 to frame {turn} and back, J was" in str(outcome)


def test_there_and_back_all_marked_frames_are_learned_from(
    session: Session, lessons: Lessons, fake: Any
) -> None:
    session.add_mask(4, fake.blocks(session.frames.shape, o9=(1, 30)))
    outcome = adapt(session)
    assert outcome.comparison.way == (0, adaptation.FRAMES_THERE_AND_BACK, 0)
    assert lessons.annotated == [[0, 4]]


def test_the_way_back_is_taken_to_where_there_are_frames() -> None:
    labels = np.eye(4, dtype=np.uint16)
    few, many = {3: labels}, {20: np.zeros_like(labels), 25: labels, 28: labels * 2}
    assert adaptation._way_to_compare(few, 30) == (3, 11, 3)
    assert adaptation._way_to_compare(few, 5) == (3, 0, 3)
    assert adaptation._way_to_compare(many, 30) == (25, 17, 25)
    assert adaptation._way_to_compare({0: labels * 0}, 30) is None
    assert adaptation._way_to_compare({}, 30) is None
    assert adaptation._way_to_compare({2: labels, 9: labels, 11: labels}, 30) == (9, 11)


def test_marked_frames_with_an_object_in_common_need_not_be_neighbours() -> None:
    one, other = np.eye(4, dtype=np.uint16), 2 * np.eye(4, dtype=np.uint16)
    assert adaptation._way_to_compare({0: one, 4: other, 8: one, 13: other}, 30) == (0, 8)


def test_of_many_objects_some_from_all_over_are_compared() -> None:
    assert adaptation._spread([1, 2, 3], 50) == [1, 2, 3]
    assert adaptation._spread(list(range(100)), 4) == [0, 25, 50, 75]


def test_what_makes_masks_worse_is_not_kept(
    session: Session, lessons: Lessons, fake: Any, factory: Any
) -> None:
    mark_another(session, fake)
    session.run()
    lessons.worse = 0.1
    outcome = adapt(session)
    assert outcome.weights is None
    assert outcome.comparison.after == pytest.approx(outcome.comparison.before - 0.1)
    assert str(outcome).startswith("Not kept: from frame 0 to frame 4, J was")
    assert not list((session.folder / "weights").iterdir())
    assert not session.pending


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_was_learned_outlives_a_comparison_that_is_cut_short(
    session: Session,
    lessons: Lessons,
    fake: Any,
    factory: Any,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
) -> None:
    mark_another(session, fake)
    session.run()
    attempt = StackAdaptation._try

    def fail(self: StackAdaptation, annotated: Any, way: Any, choice: Any) -> Any:
        if choice.weights is not None:
            raise error
        return (yield from attempt(self, annotated, way, choice))

    monkeypatch.setattr(StackAdaptation, "_try", fail)
    with pytest.raises(error):
        adapt(session)
    outcome = session.adapted
    assert list((session.folder / "weights").iterdir()) == [outcome.weights]
    assert outcome.comparison is None
    assert str(outcome).startswith("Kept: the loss went from ")
    assert str(outcome).endswith("comparing masks was cut short, so look at what they become.")
    session.run()
    assert factory.arguments[-1]["weights"] == outcome.weights
    session.undo()
    session.undo()
    assert not session.pending


def test_it_learns_on_the_device_of_the_session(
    session: Session, lessons: Lessons, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    session.choose_engine(device="cpu")
    assert adapt(session).steps == N_STEPS


def test_divergence_is_said_and_changes_nothing(session: Session, lessons: Lessons) -> None:
    lessons.spoil = math.nan
    outcome = adapt(session)
    assert outcome.diverged
    assert outcome.weights is None
    assert str(outcome) == (
        "The loss ran away, and the weights before that were gone back to. "
        "Nothing is changed: 0 steps have brought nothing better."
    )


def test_closed_while_it_compares_nothing_has_come_of_it(
    session: Session, lessons: Lessons, fake: Any
) -> None:
    mark_another(session, fake)
    steps = session.adapt()
    assert next(steps) == (0, 0.0, None)
    steps.close()
    assert session.adapted is None
    session.run()


def test_nothing_learned_is_said(session: Session, lessons: Lessons) -> None:
    outcome = adapt(session, n_steps=0)
    assert outcome.weights is None
    assert str(outcome) == "Nothing is changed: 0 steps have brought nothing better."


def test_nothing_else_goes_on_meanwhile(session: Session, lessons: Lessons) -> None:
    steps = session.adapt(minutes=60)
    next(steps)
    with pytest.raises(NapariVosError, match="Weights are being adapted to"):
        session.undo()
    steps.close()
    session.undo()


def test_an_error_leaves_no_outcome(session: Session) -> None:
    session.choose_engine("mivos")
    with pytest.raises(NapariVosError, match=r"'mivos' can't be adapted .* compact or mast"):
        next(session.adapt())
    assert session.adapted is None
    session.choose_engine("compact")


def test_compact_needs_a_marked_frame_of_a_time_lapse(images: np.ndarray) -> None:
    with Session(FrameStack(images, axes="TYX")) as session:
        steps = session.adapt()
        with pytest.raises(PromptError, match="No object of 25 pixels or more is marked"):
            next(steps)
    with Session(FrameStack(images[:1], axes="TYX")) as session:
        session.add_mask(0, np.ones(images.shape[1:], np.uint16))
        steps = session.adapt()
        with pytest.raises(FramesError, match="one frame alone"):
            next(steps)


def test_weights_that_are_lost_are_named(session: Session, lessons: Lessons) -> None:
    outcome = adapt(session)
    outcome.weights.unlink()
    with pytest.raises(StoreError, match=f"Can't read '.*{outcome.weights.name}'"):
        session.replay()

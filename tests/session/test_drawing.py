"""Scribbles, points and boxes in a session, with an interactor that only grows strokes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage

from napari_vos import FrameStack
from napari_vos.configs import RandomWalkerConfig
from napari_vos.errors import NapariVosError, PromptError, WeightsError
from napari_vos.prompts import point_prompt, scribble_prompt
from napari_vos.session import Session, replay
from napari_vos.session.interaction import INTERACTOR
from napari_vos.store.evidence import Source

DOT = [(10, 10)]


class GrowingInteractor:
    """An object is what it was and what lies within three pixels of its strokes or in its box."""

    def __init__(self, name, frames, **arguments):
        self.plan = {"interactor": name, "grows": 3}
        self.arguments = arguments
        self.seen = []

    def segment(self, drawing, previous):
        self.seen.append((drawing, previous.copy()))
        labels = np.zeros_like(previous)
        for i in drawing.object_ids:
            grown = ndimage.binary_dilation(drawing.inside(i), iterations=3)
            labels[(previous == i) | grown] = i
            if i in drawing.boxes:
                labels[drawing.boxes[i]] = i
        return labels


@pytest.fixture
def made(monkeypatch):
    made = []

    def create(*arguments, **named):
        made.append(GrowingInteractor(*arguments, **named))
        return made[-1]

    monkeypatch.setattr("napari_vos.engines.create_interactor", create)
    return made


def contents(session):
    ledger = session._ledger
    evidence = {
        (t, i): (item.box, item.probability.tobytes(), item.confidence, item.source)
        for t in range(ledger.n_frames)
        for i, item in ledger.objects(t).items()
    }
    marks = dict(ledger.history.state.marks)
    return np.asarray(session.labels[:]).tobytes(), evidence, marks


def test_what_is_drawn_becomes_a_user_frame_of_these_objects_alone(session, blocks, made):
    session.add_mask(0, blocks(o1=(2, 2), o2=(2, 30)))
    session.run()
    evidence = session._ledger.objects(4)[2]
    session.add_scribbles(4, {1: [(10, 10), (10, 14)], 9: DOT}, width=1)
    assert session.user_frames(1) == (0, 4)
    assert session.user_frames(9) == (4,)
    assert session.user_frames(2) == (0,)
    assert session.confidence[4, 1] == session.confidence[4, 9] == 1
    assert session._ledger.objects(4)[1].source is Source.USER
    after = session._ledger.objects(4)[2]
    assert (after.box, after.probability.tobytes()) == (
        evidence.box,
        evidence.probability.tobytes(),
    )
    assert {(span.start, span.object_ids) for span in session.pending} == {(4, (1,)), (4, (9,))}


def test_the_interactor_sees_the_drawing_and_the_labels_so_far(session, blocks, made):
    session.add_mask(3, blocks(o1=(2, 2)))
    session.add_points(3, {1: (10, 10)}, negative={1: [(3, 3), (4, 5)]}, radius=0)
    ((drawing, previous),) = made[0].seen
    assert drawing.t == 3
    assert np.argwhere(drawing.inside(1)).tolist() == [[10, 10]]
    assert np.argwhere(drawing.outside(1)).tolist() == [[3, 3], [4, 5]]
    assert np.array_equal(previous, blocks(o1=(2, 2)))


def test_an_object_that_is_drawn_far_from_its_mask_is_made_anew(session, blocks, made):
    session.add_mask(3, blocks(o1=(2, 2), o2=(14, 2)))
    session.add_points(3, {1: (3, 9)}, radius=0)  # as near as it is wide
    assert (session.labels[3] == 1).sum() > 16
    session.add_points(3, {2: (15, 30)}, radius=0)
    assert not (session.labels[3][:, :20] == 2).any()
    assert (session.labels[3][:, 20:] == 2).any()
    session.add_boxes(3, {2: (14, 0, 20, 6)})
    assert not (session.labels[3][:, 20:] == 2).any()
    session.add_points(3, {2: [(15, 3), (15, 30)]})
    assert (session.labels[3][:, 20:] == 2).any()
    assert (session.labels[3][:, :6] == 2).any()


def test_strokes_are_obeyed_pixel_by_pixel(session, blocks, made):
    session.add_mask(0, blocks(o1=(2, 2), o2=(10, 20)))
    session.add_scribbles(0, {1: [(10, 20), (10, 23)]}, negative={1: [(3, 3)]}, width=1)
    assert (session.labels[0][10, 20:24] == 1).all()
    assert session.labels[0][3, 3] == 0
    assert session.labels[0][2, 2] == 1


def test_a_box_and_prompts_of_all_kinds_together(session, made):
    session.add_boxes(2, {5: (3, 4, 8, 9)})
    assert (session.labels[2][3:9, 4:10] == 5).all()
    assert (session.labels[2] > 0).sum() == 36
    session.draw([point_prompt(2, 6, (5, 5), radius=1), scribble_prompt(2, 5, [(5, 5)], width=1)])
    assert session.labels[2][5, 5] == 5
    assert session.labels[2][4, 5] == 6
    assert len(made) == 1


def test_drawing_is_one_step_to_undo_and_to_do_again(session, blocks, made):
    session.add_mask(0, blocks(o1=(2, 2), o2=(10, 30)))
    session.run()
    before = contents(session)
    session.add_scribbles(5, {1: DOT, 2: [(18, 20)]})
    after = contents(session)
    assert after != before
    session.undo()
    assert contents(session) == before
    session.redo()
    assert contents(session) == after


def test_the_journal_tells_what_was_drawn_and_what_made_masks_of_it(session, made):
    session.add_scribbles(4, {7: [(10, 10), (10.5, 12)]}, negative={7: [(2, 2)]}, width=1)
    line = json.loads((session.folder / "journal.jsonl").read_text().splitlines()[-1])
    assert (line["action"], line["t"], line["present"]) == ("draw", 4, [7])
    assert line["prompts"] == [
        {
            "kind": "scribble",
            "t": 4,
            "object_id": 7,
            "lines": [[[10.0, 10.0], [10.5, 12.0]]],
            "width": 1.0,
            "positive": True,
        },
        {
            "kind": "scribble",
            "t": 4,
            "object_id": 7,
            "lines": [[[2.0, 2.0]]],
            "width": 1.0,
            "positive": False,
        },
    ]
    assert line["interactor"] == {"interactor": INTERACTOR, "grows": 3}


def test_a_session_is_reopened_and_replayed_without_the_interactor(frames, factory, made, tmp_path):
    with Session(frames, folder=tmp_path / "a", interactor="mivos", device="cpu") as session:
        session.add_scribbles(0, {1: DOT})
        session.run()
        session.add_boxes(6, {1: (12, 10, 16, 20)})
        session.run()
        before = contents(session)
        session.save(tmp_path / "copy")
    made.clear()
    with Session.load(tmp_path / "copy", frames) as session:
        assert contents(session) == before
        assert replay(tmp_path / "copy", frames, out=tmp_path / "b").identical
        assert not made
        session.add_points(8, {1: DOT})
        assert made[0].plan["interactor"] == "mivos"
        assert made[0].arguments["device"] == "cpu"
    line = (tmp_path / "b" / "journal.jsonl").read_text().splitlines()[0]
    assert json.loads(line)["prompts"][0]["lines"] == [[[10.0, 10.0]]]


def test_another_interactor_is_chosen(frames, factory, made, tmp_path):
    config = RandomWalkerConfig(beta=50.0)
    with Session(frames, folder=tmp_path / "a") as session:
        session.add_points(0, {1: DOT})
        session.choose_interactor("random_walker", config=config)
        session.add_points(0, {1: DOT})
    with Session.load(tmp_path / "a", frames) as session:
        session.add_points(0, {1: DOT})
    assert [each.arguments["config"] for each in made] == [None, config, config]


def test_a_session_from_before_there_were_interactors(frames, factory, made, tmp_path):
    Session(frames, folder=tmp_path / "a").close()
    path = tmp_path / "a" / "session.json"
    about = json.loads(path.read_text())
    del about["interactor"]
    path.write_text(json.dumps(about))
    with Session.load(tmp_path / "a", frames) as session:
        session.add_points(0, {1: DOT})
    assert made[0].plan["interactor"] == INTERACTOR


def test_accepted_objects_keep_their_pixels_but_under_strokes(session, blocks, made):
    session.add_mask(0, blocks(o1=(8, 8), o2=(8, 20)))
    session.accept(0)
    session.add_scribbles(0, {5: [(8, 10), (8, 22)]}, width=1)
    taken = np.zeros((24, 40), bool)
    taken[8, 10:23] = True
    for i, painted in ((1, np.s_[8:12, 8:12]), (2, np.s_[8:12, 20:24])):
        expected = np.zeros((24, 40), bool)
        expected[painted] = True
        assert np.array_equal(session.labels[0] == i, expected & ~taken)


def test_drawing_again_before_a_round_still_compares_with_the_round_before(session, blocks, made):
    session.add_mask(0, blocks(o1=(2, 2)))
    session.run()
    history = session._ledger.history
    propagated = history.state.versions[5]
    session.add_points(5, {1: DOT})
    session.add_points(5, {1: (18, 20)})
    session.run()
    assert history.uncorrected_version(5) == propagated


@pytest.mark.parametrize(
    ("say", "told"),
    [
        (lambda s: s.add_scribbles(12, {1: DOT}), "Frame 12 is outside the stack 'phase'"),
        (lambda s: s.add_points(0, {1: (30, 5)}), "point of object 1 on frame 0 lies outside"),
        (lambda s: s.add_scribbles(0, {0: DOT}), "object 0, which is the background"),
        (lambda s: s.add_points(0, {}), "Nothing is drawn"),
        (lambda s: s.add_points(0, {}, negative={7: DOT}), "Object 7 isn't on frame 0 yet"),
        (lambda s: s.add_points(3, {}, negative={1: DOT}), "Object 1 isn't on frame 3 yet"),
        (
            lambda s: s.add_points(0, {}, negative={1: (4, 4)}, radius=9),
            "Nothing is left of object 1 on frame 0",
        ),
    ],
)
def test_what_cannot_be_drawn_changes_nothing(session, blocks, made, say, told):
    session.add_mask(0, blocks(o1=(2, 2)))
    before = contents(session)
    lines = list(session._ledger.folder.journal.lines)
    with pytest.raises(PromptError, match=told):
        say(session)
    assert contents(session) == before
    assert session._ledger.folder.journal.lines == lines


def test_nothing_is_drawn_while_a_round_runs(session, blocks, made):
    session.add_mask(0, blocks(o1=(2, 2)))
    steps = session.propagate()
    next(steps)
    with pytest.raises(NapariVosError, match="is being propagated"):
        session.add_points(5, {1: DOT})
    steps.close()


def test_interactors_that_are_not_there(frames, factory):
    with Session(frames, interactor="magic") as session:
        with pytest.raises(NapariVosError, match="no interactor 'magic'; expected one of"):
            session.add_points(0, {1: DOT})
        session.choose_interactor("mivos")
        with pytest.raises(WeightsError, match="comes without weights"):
            session.add_points(0, {1: DOT})
        assert session.object_ids == ()


def test_the_random_walker_needs_nothing(factory):
    rows, columns = np.indices((60, 80))
    cell = np.hypot(rows - 30, columns - 40) < 12
    with Session(FrameStack(np.stack([cell, cell]).astype(np.float32))) as session:
        session.add_points(0, {7: (30, 40)})
        assert ((session.labels[0] == 7) != cell).sum() < 0.1 * cell.sum()

from __future__ import annotations

import csv

import numpy as np
import pytest
import tifffile

from napari_vos.errors import FramesError, PromptError, StoreError
from napari_vos.session import Session
from napari_vos.session.lineage import find_ended, find_stays


@pytest.fixture
def divided(session, blocks):
    """Object 7 ends on frame 4; 8 and 9 begin there beside it, 5 elsewhere."""
    session.add_mask(0, blocks(o7=(8, 2)), complete=True)
    session.run()
    session.end_object(7, 4)
    left = int(np.nonzero(np.asarray(session.labels[3]) == 7)[1].min())
    session.add_mask(4, blocks(o8=(5, left), o9=(11, left), o5=(16, 30)))
    for i in (8, 9, 5):
        session.end_object(i, 3)
        session.add_mask(4, np.where(np.asarray(session.labels[4]) == i, i, 0))
    session.run(direction="forward")
    return session


def test_what_begins_beside_an_end_may_come_from_it(divided):
    proposed = divided.propose_parents()
    assert [(each.child, each.parent, each.t) for each in proposed] == [(8, 7, 4), (9, 7, 4)]
    assert [each.distance for each in proposed] == [3, 3]
    assert divided.parents == {}


def test_accepted_parents_can_be_undone_and_are_kept(divided, tmp_path):
    divided.accept_parents({8: 7, 9: 7})
    assert divided.parents == {8: 7, 9: 7}
    assert divided.propose_parents() == ()
    divided.accept_parents({9: None})
    assert divided.parents == {8: 7}
    assert [each.child for each in divided.propose_parents()] == [9]
    divided.undo()
    assert divided.parents == {8: 7, 9: 7}
    divided.save(tmp_path / "copy")
    with Session.load(tmp_path / "copy", divided.frames) as loaded:
        assert loaded.parents == {8: 7, 9: 7}
        loaded.delete_object(8)
        assert loaded.parents == {9: 7}
    divided.replay(tmp_path / "again")
    with Session.load(tmp_path / "again", divided.frames) as again:
        assert again.parents == {8: 7, 9: 7}


def test_a_new_object_of_the_same_id_has_no_parent(divided):
    divided.accept_parents({8: 7, 9: 7})
    divided.add_mask(4, np.where(np.asarray(divided.labels[4]) == 8, 5, 0))
    assert 8 not in divided.object_ids
    divided.add_mask(9, np.where(np.asarray(divided.labels[9]) == 9, 8, 0))
    assert divided.parents == {9: 7}


def test_objects_that_are_gone_by_now_have_no_last_place(divided):
    stays = find_stays(divided._ledger)
    assert find_ended(divided._ledger, stays).keys() == {7}
    divided.delete_object(7)
    assert find_ended(divided._ledger, stays) == {}


def test_parents_that_cannot_be(divided):
    with pytest.raises(PromptError, match=r"7 can't be the parent of 7: it is there until frame 3"):
        divided.accept_parents({7: 7})
    with pytest.raises(PromptError, match=r"5 can't be the parent of 8.*8 begins on frame 4"):
        divided.accept_parents({8: 5})
    with pytest.raises(PromptError, match="no object 6"):
        divided.accept_parents({8: 6})
    with pytest.raises(PromptError, match="no object 6"):
        divided.accept_parents({6: None})
    assert divided.parents == {}


def test_what_has_left_the_frame_is_no_parent(session, blocks):
    session.add_mask(0, blocks(o7=(8, 34)))
    session.run(direction="forward")
    [end] = session.ends
    session.add_mask(end.t, blocks(o8=(8, 36)))
    assert session.propose_parents() == ()


def test_the_table_of_events(divided, tmp_path):
    divided.accept_parents({8: 7})
    divided.export_events(tmp_path / "events.csv")
    with (tmp_path / "events.csv").open() as file:
        rows = {(row["t"], row["id"], row["event"]): row for row in csv.DictReader(file)}
    assert rows["4", "8", "begins"]["parent"] == "7"
    assert rows["4", "8", "begins"]["proposed_parent"] == ""
    assert rows["4", "9", "begins"]["parent"] == ""
    assert rows["4", "9", "begins"]["proposed_parent"] == "7"
    assert rows["4", "5", "begins"]["proposed_parent"] == ""
    assert rows["4", "7", "ends"]["reason"] == "user"
    divided.accept_parents({9: 7})
    [end] = [row for row in divided.event_table() if row.id == 7]
    assert (end.t, end.event, end.reason) == (4, "ends", "divided")


def test_where_nothing_was_propagated_yet_nothing_ends(session, blocks):
    session.add_mask(3, blocks(o7=(8, 2)))
    session.run(frames=(3, 6))
    session.add_mask(6, blocks(o8=(8, 9)))
    assert [(row.id, row.event) for row in session.event_table()] == [(8, "begins")]
    assert session.propose_parents() == ()


def test_tracks_have_a_graph_of_accepted_parents(divided):
    divided.accept_parents({8: 7, 9: 7})
    data, graph = divided.tracks()
    assert graph == {8: [7], 9: [7]}
    assert data.shape == (np.unique(data[:, :2], axis=0).shape[0], 4)
    assert np.array_equal(data, data[np.lexsort((data[:, 1], data[:, 0]))])
    [start] = data[(data[:, 0] == 7) & (data[:, 1] == 0)]
    assert start.tolist() == [7, 0, 9.5, 3.5]


def test_tracks_of_an_empty_session(session):
    data, graph = session.tracks()
    assert data.shape == (0, 4)
    assert graph == {}


def test_export_for_the_challenge(divided, tmp_path):
    divided.accept_parents({8: 7, 9: 7})
    divided.export_ctc(tmp_path / "01_RES")
    rows = (tmp_path / "01_RES" / "res_track.txt").read_text().splitlines()
    assert {"7 0 3 0", "8 4 11 7", "9 4 11 7"} <= set(rows)
    masks = [tifffile.imread(tmp_path / "01_RES" / f"mask{t:03}.tif") for t in range(12)]
    assert np.array_equal(masks, divided.labels[:])
    with pytest.raises(StoreError, match="exists already"):
        divided.export_ctc(tmp_path / "01_RES")
    divided.export_ctc(tmp_path / "01_RES", overwrite=True)


def test_a_parent_that_came_back_is_refused_on_export(divided, blocks, tmp_path):
    divided.accept_parents({8: 7})
    divided.add_mask(8, blocks(o7=(18, 2)))
    with pytest.raises(FramesError, match="8 begins on frame 4, and its parent 7 is there until"):
        divided.export_ctc(tmp_path / "01_RES")
    assert not (tmp_path / "01_RES").exists()

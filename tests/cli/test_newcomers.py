"""`napari-vos propagate --newcomers`, with a detector and an engine without a network."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import tifffile

from napari_vos.engines.base import FrameInstances
from napari_vos.session.survey import Search

SHAPE = (24, 40)


class Eyes:
    """Sees a cell that walks with object 1, and one that comes in on frame 4."""

    plan = {"engine": "eyes"}  # noqa: RUF012

    def __init__(self, fake):
        self.fake = fake
        self.asked = []
        self.scores = set()

    def __call__(self, name, frames, **arguments):
        self.asked.append({"name": name, **arguments})
        return self

    def detect(self, t):
        self.t = t
        return self

    def instances(self, *, score, overlap):
        self.scores.add(score)
        corners = {"o1": (2, 2 + self.t + self.t // 2)}
        if self.t >= 4:
            corners["o2"] = (18, 20 + self.t)
        scores = np.full(len(corners), 0.9, np.float32)
        labels = self.fake.blocks(SHAPE, **corners)
        return FrameInstances(labels, scores, scores.astype(int), np.zeros((len(corners), 4)))


@pytest.fixture
def eyes(fake, monkeypatch):
    eyes = Eyes(fake)
    monkeypatch.setattr("napari_vos.engines.create_detector", eyes)
    return eyes


@pytest.fixture
def arguments(factory, eyes, images, prompts, tmp_path):
    return ("propagate", images, prompts, "-o", tmp_path / "out.tif", "--newcomers", 4)


def test_newcomers_are_followed_and_the_command_can_be_repeated(
    run_json, arguments, eyes, tmp_path
):
    result = run_json(*arguments, "--table", tmp_path / "table.csv")
    assert result["n_objects"] == 3
    assert result["n_newcomers"] == 1
    labels = tifffile.imread(tmp_path / "out.tif")
    assert all(301 in np.unique(frame) for frame in labels)
    with (tmp_path / "table.csv").open() as file:
        rows = {(row["t"], row["id"]): row for row in csv.DictReader(file)}
    assert rows["4", "301"]["source"] == "detected"
    assert float(rows["4", "301"]["confidence"]) == pytest.approx(0.9, abs=1e-4)
    # Object 1 is confirmed on frame 4.
    assert float(rows["4", "1"]["confidence"]) > float(rows["3", "1"]["confidence"])
    again = run_json(*arguments)
    assert again["n_propagated"] == 0
    assert np.array_equal(labels, tifffile.imread(tmp_path / "out.tif"))


def test_frames_painted_since_are_still_corrections(run_json, arguments, fake, prompts, tmp_path):
    run_json(*arguments)
    painted = tifffile.imread(prompts)
    painted[6] = fake.blocks(SHAPE, o1=(8, 8))
    tifffile.imwrite(prompts, painted)
    result = run_json(*arguments)
    assert result["painted_frames"] == [0, 6]
    assert result["n_propagated"] > 0
    assert result["n_newcomers"] >= 1


def test_tracks_events_and_parents(run_json, arguments, fails, prompts, fake, tmp_path):
    painted = tifffile.imread(prompts)
    painted[0] = fake.blocks(SHAPE, o1=(2, 2), o7=(18, 39 - 4))  # leaves the frame
    tifffile.imwrite(prompts, painted)
    files = ("--ctc", tmp_path / "01_RES", "--events", tmp_path / "events.csv")
    result = run_json(*arguments, *files, "--accept-parents")
    assert result["parents"] == {}  # nothing ends beside the newcomer
    lines = (tmp_path / "01_RES" / "res_track.txt").read_text().splitlines()
    assert len(lines) == result["n_objects"] == 3
    labels = tifffile.imread(tmp_path / "out.tif")
    masks = [tifffile.imread(path) for path in sorted((tmp_path / "01_RES").glob("*.tif"))]
    assert np.array_equal(masks, labels)
    with (tmp_path / "events.csv").open() as file:
        events = [(row["id"], row["event"], row["reason"]) for row in csv.DictReader(file)]
    assert ("7", "ends", "left") in events
    run_json(*arguments, *files)
    (tmp_path / "precious").mkdir()
    message = fails(*arguments[:-4], "-o", tmp_path / "new.tif", "--ctc", tmp_path / "precious")
    assert "exists already" in message


def test_parents_are_accepted(run_json, eyes, factory, images, prompts, fake, tmp_path):
    painted = tifffile.imread(prompts)
    painted[0] = fake.blocks(SHAPE, o1=(2, 2), o7=(14, 20))
    painted[4] = fake.blocks(SHAPE, o1=(2, 8), o8=(12, 24), o9=(17, 24))
    tifffile.imwrite(prompts, painted)
    from napari_vos.session import Session

    command = ("propagate", images, prompts, "-o", tmp_path / "out.tif", "--accept-parents")
    assert run_json(*command, "--frames", "0:4")["parents"] == {}
    with Session.load(tmp_path / "out.session") as session:
        session.end_object(7, 4)
        for i in (8, 9):
            session.end_object(i, 3)
    result = run_json(*command)
    assert result["parents"] == {"8": 7, "9": 7}


def test_the_detector(run_json, arguments, eyes):
    run_json(*arguments, "--detector", "yolact", "--detector-weights", "published.pth")
    assert eyes.asked[-1]["name"] == "yolact"
    assert eyes.asked[-1]["weights"] == "published.pth"


def test_how_certain_newcomers_must_be(run_json, arguments, eyes):
    run_json(*arguments)
    assert eyes.scores == {Search.score}
    eyes.scores.clear()
    run_json(*arguments, "--detector-score", 0.7)
    assert eyes.scores == {0.7}


def test_bad_input(fails, arguments):
    assert "--detector-score" in fails(*arguments, "--detector-score", 7)
    assert "greater than or equal to 1" in fails(*arguments[:-1], 0)
    assert "'--newcomers'" in fails(*arguments[:-1], "often")


def test_a_detector_that_is_none(fails, factory, images, prompts, tmp_path):
    command = ("propagate", images, prompts, "-o", tmp_path / "out.tif", "--newcomers", 2)
    assert "no detector 'eyes'" in fails(*command, "--detector", "eyes")


def test_a_folder_of_something_else_is_refused_before_the_work(arguments, fails, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "image.tif").touch()
    told = fails(*arguments, "--ctc", mine, "--overwrite")
    assert "isn't a folder of masks and res_track.txt" in told
    assert not (tmp_path / "out.tif").exists()
    assert [entry.name for entry in mine.iterdir()] == ["image.tif"]

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
import tifffile
from scipy import ndimage


@pytest.fixture
def robot():
    return importlib.import_module("robot")


@pytest.fixture
def disc():
    rows, columns = np.ogrid[:40, :40]
    return (rows - 20) ** 2 + (columns - 20) ** 2 <= 100


def test_a_stroke_follows_the_skeleton_and_stays_inside(robot):
    bar = np.zeros((20, 60), bool)
    bar[8:13, 5:55] = True
    line, width = robot.stroke_in(bar)
    assert width == 3
    assert all(bar[y - 1 : y + 2, x - 1 : x + 2].all() for y, x in line)
    assert {y for y, _ in line[3:-3]} == {10}
    assert abs(line[0][1] - line[-1][1]) > 40
    assert robot.stroke_in(bar & (np.arange(20) == 9)[:, None])[1] == 1


def test_a_correction_lies_on_the_largest_error(robot, disc):
    truth = np.where(disc, 7, 0)
    result = np.where(disc & (np.arange(40) > 14)[:, None], 7, 0)
    result[18:22, 32:36] = 7  # a smaller excess
    (mark,) = robot.corrections("scribble", 3, result, truth, [7])
    assert (mark.t, mark.object_id, mark.positive) == (3, 7, True)
    assert all(disc[int(y), int(x)] and y <= 14 for y, x in mark.lines[0])
    result = np.where(ndimage.binary_dilation(disc, iterations=5), 7, 0)
    (mark,) = robot.corrections("click", 3, result, truth, [7])
    assert not mark.positive
    assert not any(disc[int(y), int(x)] for y, x in mark.points)
    (mark,) = robot.corrections("box", 3, result, truth, [7])
    assert (mark.top, mark.left, mark.bottom, mark.right) == (10, 10, 30, 30)


@pytest.fixture
def reference_folder(tmp_path):
    """Two textured squares, one of which jumps."""
    rng = np.random.default_rng(0)
    images = np.stack([ndimage.gaussian_filter(rng.standard_normal((64, 64)), 2)] * 8)
    labels = np.zeros(images.shape, np.uint16)
    for t in range(8):
        for i, (top, left) in {3: (6, 6 + t), 9: (40, 8 if t < 4 else 40)}.items():
            window = (t, slice(top, top + 14), slice(left, left + 14))
            images[window] = 3 + 0.3 * rng.standard_normal((14, 14))
            labels[window] = i
    folder = tmp_path / "data" / "squares"
    folder.mkdir(parents=True)
    tifffile.imwrite(folder / "images.tif", (5000 + 1000 * images).astype(np.uint16))
    tifffile.imwrite(folder / "labels.tif", labels)
    return tmp_path


@pytest.mark.parametrize("kind", ["scribble", "mask"])
def test_rounds_of_corrections(reference_folder, monkeypatch, capsys, kind, tmp_path):
    interactive = importlib.import_module("interactive")
    arguments = ["--reference", reference_folder, "--sequences", "squares", "--prompts", kind]
    arguments += ["--interactor", "random_walker", "--rounds", 3, "--frames", 8, "--seeds", 2]
    arguments += ["--choose", "worst", "random", "--cache", tmp_path / "kept"]
    monkeypatch.setattr("sys.argv", ["interactive.py", *map(str, arguments)])
    interactive.main()
    report = json.loads(capsys.readouterr().out)
    figures = report["sequences"]["squares"]["worst"]
    (run,) = figures["runs"]
    assert run[0]["frame"] == 0
    assert run[0]["object_ids"] == [3, 9]
    assert figures["prompt_J"] > 0.8
    assert run[2]["J"] > run[0]["J"] - 0.005
    assert figures["untouched_pixels_changed"] == 0
    assert figures["area"] == pytest.approx((run[0]["J&F"] + 2 * run[1]["J&F"] + run[2]["J&F"]) / 4)
    assert len(report["sequences"]["squares"]["random"]["runs"]) == 2
    assert report["mean"]["worst"]["rounds"][0] == figures["rounds"][0]
    with monkeypatch.context() as patch:
        patch.delattr(interactive, "Session")  # all is kept
        interactive.main()
    assert json.loads(capsys.readouterr().out) == report


def test_even_frames_are_those_the_truth_knows(monkeypatch):
    interactive = importlib.import_module("interactive")
    truth = np.zeros((31, 4, 4), np.uint16)
    truth[[0, 6, 14, 30], 0, 0] = 5
    case = interactive.Case("a", truth, 30, 5, "scribble")
    chosen = [interactive.choose(case, None, None, "even", n, None) for n in range(1, 5)]
    assert case.frames == [6, 14]
    assert chosen == [(t, []) for t in (6, 14, 14, 14)]

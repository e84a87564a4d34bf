from __future__ import annotations

import csv

import numpy as np
import pytest
import tifffile

from napari_vos.io import open_labels


@pytest.fixture
def propagate(run_json, factory, images, prompts, tmp_path):
    def propagate(*options, output="out.tif"):
        return run_json("propagate", images, prompts, "-o", tmp_path / output, *options)

    return propagate


@pytest.mark.parametrize("output", ["out.tif", "out.zarr"])
def test_labels_on_every_frame(propagate, prompts, tmp_path, output):
    result = propagate(output=output)
    labels = np.stack(list(open_labels(tmp_path / output)))
    assert np.array_equal(labels[0], tifffile.imread(prompts)[0])
    for frame in labels:
        assert set(np.unique(frame)) == {0, 1, 300}
    assert (labels[5] != labels[0]).any()
    assert result["n_frames"] == 8
    assert result["n_objects"] == 2
    assert result["n_propagated"] == 7
    assert 0 < result["confidence"] < 1


def test_progress_is_on_standard_error(run, factory, images, prompts, tmp_path):
    code, out, err = run("propagate", images, prompts, "-o", tmp_path / "out.tif")
    assert code == 0
    assert "2 objects on 8 frames" in out
    assert "7/7" in err


def test_memory(run, factory, images, prompts, tmp_path):
    arguments = ("propagate", images, prompts, "-o", tmp_path / "out.tif", "--memory")
    code, _, told = run(*arguments, "0.004MB")
    assert code == 0
    assert "14 masks: about 00:00 and 0 MB of memory" in told
    assert "Warning" not in told
    assert factory.latest.plan["config"] == {"batch_size": 4}
    *_, told = run(*arguments[:-2], tmp_path / "other.tif", "--memory", "0MB")
    assert "Warning: This run may take 0 MB of memory" in told


def test_table(propagate, tmp_path):
    propagate("--table", tmp_path / "objects.csv")
    with (tmp_path / "objects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    assert rows[0]["id"] == "1"
    assert rows[0]["source"] == "user"


def test_some_frames_first_and_the_others_later(propagate, tmp_path):
    assert propagate("--frames", "0:4")["n_propagated"] == 3
    labels = open_labels(tmp_path / "out.tif")
    assert labels.non_empty_frames() == [0, 1, 2, 3]
    assert propagate()["n_propagated"] == 4
    assert propagate()["n_propagated"] == 0
    in_parts = np.stack(list(open_labels(tmp_path / "out.tif")))
    propagate("--session", tmp_path / "other", output="other.tif")
    assert np.array_equal(in_parts, np.stack(list(open_labels(tmp_path / "other.tif"))))


def test_interrupted_runs_go_on(run, factory, propagate, images, prompts, tmp_path, monkeypatch):
    made = []

    def stop(t):
        made.append(t)
        if len(made) == 3:
            raise KeyboardInterrupt

    from napari_vos.session import Session

    with monkeypatch.context() as patch:
        patch.setattr(Session, "_tell_written", lambda self, changed: [stop(t) for t in changed])
        arguments = ("propagate", images, prompts, "-o", tmp_path / "out.tif", "--json")
        code, out, err = run(*arguments)
    assert code == 130
    assert out == ""
    assert "Call the same command again to go on." in err
    assert not (tmp_path / "out.tif").exists()
    assert propagate()["n_propagated"] == 5
    propagate("--session", tmp_path / "other", output="other.tif")
    assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "other.tif").read_bytes()


def test_frames_painted_since_are_corrections(propagate, fake, prompts):
    propagate()
    labels = tifffile.imread(prompts)
    labels[5] = fake.blocks(labels.shape[1:], o1=(8, 8))
    tifffile.imwrite(prompts, labels)
    assert propagate()["painted_frames"] == [0, 5]


def test_other_masks_or_engines_are_refused(fails, propagate, images, prompts, tmp_path):
    propagate()
    arguments = ("propagate", images, prompts, "-o", tmp_path / "out.tif")
    assert "device auto" in fails(*arguments, "--device", "cpu")
    labels = tifffile.imread(prompts)
    labels[0, 2, 2] = 0
    tifffile.imwrite(prompts, labels)
    assert "other masks than those on frame 0" in fails(*arguments)
    assert propagate("--overwrite")["n_propagated"] == 7


def test_a_file_that_is_there_is_not_replaced(fails, images, prompts, tmp_path):
    (tmp_path / "out.tif").write_text("precious")
    message = fails("propagate", images, prompts, "-o", tmp_path / "out.tif")
    assert "--overwrite" in message
    assert (tmp_path / "out.tif").read_text() == "precious"


def test_bad_input(fails, images, prompts, tmp_path):
    output = tmp_path / "out.tif"
    small = tmp_path / "small.tif"
    tifffile.imwrite(small, np.ones((7, 24, 40), np.uint16))
    message = fails("propagate", images, small, "-o", output)
    assert "(7, 24, 40)" in message
    assert "(8, 24, 40)" in message
    empty = tmp_path / "empty.tif"
    tifffile.imwrite(empty, np.zeros((8, 24, 40), np.uint16))
    assert "empty" in fails("propagate", images, empty, "-o", output)
    assert "no file or folder" in fails("propagate", tmp_path / "no.tif", prompts, "-o", output)
    assert ".zarr" in fails("propagate", images, prompts, "-o", tmp_path / "out.png")
    assert "no folder" in fails("propagate", images, prompts, "-o", tmp_path / "no" / "out.tif")


def test_one_direction(propagate, run, factory, images, prompts, tmp_path):
    painted = tifffile.imread(prompts)
    middle = np.zeros_like(painted)
    middle[3] = painted[0]
    tifffile.imwrite(tmp_path / "middle.tif", middle)
    arguments = ("propagate", images, tmp_path / "middle.tif", "-o", tmp_path / "out.tif")
    assert run(*arguments, "--direction", "backward")[0] == 0
    labels = np.stack(list(open_labels(tmp_path / "out.tif")))
    assert labels[:4].any(axis=(1, 2)).all()
    assert not labels[4:].any()
    code, _, told = run(*arguments[:-1], tmp_path / "other.tif", "--direction", "sideways")
    assert code == 2
    assert "no --direction 'sideways'; expected both, forward, backward" in told
    options = ("--direction", "forward", "--newcomers", "2")
    code, _, told = run(*arguments[:-1], tmp_path / "other.tif", *options)
    assert code == 2
    assert "--newcomers are followed both ways" in told

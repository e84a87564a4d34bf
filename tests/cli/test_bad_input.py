"""Files that can't be propagated: one line each, and nothing is left behind."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
import tifffile

from napari_vos import FrameStack
from napari_vos.store import files

N_FRAMES, SHAPE = 8, (24, 40)


@pytest.fixture
def write(tmp_path):
    """Write a stack; returns its path."""

    def write(stack, name="bad.tif"):
        tifffile.imwrite(tmp_path / name, np.asarray(stack), photometric="minisblack")
        return tmp_path / name

    return write


@pytest.fixture
def message(fails, factory, images, prompts, tmp_path):
    """Propagate what is bad; returns what is said."""

    def message(*options, images=images, prompts=prompts):
        said = fails("propagate", images, prompts, "-o", tmp_path / "out.tif", *options)
        assert not (tmp_path / "out.tif").exists()
        return said

    return message


def blank(dtype=np.uint16, n_frames=N_FRAMES):
    return np.zeros((n_frames, *SHAPE), dtype)


def test_a_picture_is_no_time_lapse(message, write):
    said = message(images=write(blank()[0]))
    assert "bad" in said
    assert "(24, 40)" in said


def test_one_frame_is_no_time_lapse(message, write):
    painted = blank(n_frames=1)
    painted[0, 2:6, 2:6] = 1
    said = message(images=write(blank(n_frames=1)), prompts=write(painted, "painted.tif"))
    assert "bad" in said


def test_a_truncated_file(message, write, tmp_path):
    noise = np.random.default_rng(0).integers(0, 1000, (N_FRAMES, *SHAPE)).astype(np.uint16)
    path = write(noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "bad" in message(images=path)


def test_a_file_of_something_else(message, tmp_path):
    (tmp_path / "bad.tif").write_text("Dear diary")
    assert "bad" in message(images=tmp_path / "bad.tif")
    (tmp_path / "bad.docx").write_text("Dear diary")
    assert "bad.docx" in message(images=tmp_path / "bad.docx")


def test_prompts_that_cannot_be_read(message, prompts):
    prompts.write_bytes(prompts.read_bytes()[: prompts.stat().st_size // 2])
    assert "prompts.tif" in message()
    prompts.write_text("Dear diary")
    assert "prompts.tif" in message()


def test_an_empty_folder(message, tmp_path):
    (tmp_path / "nothing").mkdir()
    assert "nothing" in message(images=tmp_path / "nothing")


def test_axes_that_do_not_fit(message):
    assert "TCYX" in message("--axes", "TCYX")


def test_a_channel_that_is_not_there(message):
    assert "3" in message("--channels", "3")


def test_frames_outside_the_stack(message):
    assert "--frames '0:9'" in message("--frames", "0:9")


@pytest.mark.parametrize(
    ("dtype", "value", "told"),
    [(np.int32, 70000, "70000"), (np.int32, -3, "-3"), (np.float32, 1.5, "float32")],
)
def test_labels_that_are_no_ids(message, write, dtype, value, told):
    labels = blank(dtype)
    labels[0, 2:6, 2:6] = value
    said = message(prompts=write(labels))
    assert "bad" in said
    assert told in said


def test_prompts_on_a_frame_outside_the_stack(message, write):
    labels = blank(n_frames=12)
    labels[11, 2:6, 2:6] = 1
    said = message(prompts=write(labels))
    assert "(12, 24, 40)" in said
    assert "(8, 24, 40)" in said


def test_an_output_that_is_a_folder(fails, factory, images, prompts, tmp_path):
    (tmp_path / "out.tif").mkdir()
    assert "out.tif" in fails("propagate", images, prompts, "-o", tmp_path / "out.tif")


def test_a_session_folder_that_holds_something_else(message, tmp_path):
    (tmp_path / "out.session").mkdir()
    (tmp_path / "out.session" / "thesis.txt").write_text("precious")
    assert "out.session" in message()
    assert "out.session" in message("--overwrite")
    assert (tmp_path / "out.session" / "thesis.txt").read_text() == "precious"


def test_other_images_than_those_of_the_session(
    run_json, message, write, images, prompts, tmp_path
):
    run_json("propagate", images, prompts, "-o", tmp_path / "first.tif")
    noise = np.random.default_rng(1).integers(0, 1000, (N_FRAMES, *SHAPE)).astype(np.uint16)
    said = message("--session", tmp_path / "first.session", images=write(noise))
    assert "first.session" in said


@pytest.mark.parametrize("value", [0, 500])
def test_constant_frames_are_propagated(run_json, factory, write, prompts, tmp_path, value):
    images = write(blank() + np.uint16(value), "constant.tif")
    assert run_json("propagate", images, prompts, "-o", tmp_path / "out.tif")["n_propagated"] == 7


def test_frames_of_nan_are_propagated(run_json, factory, write, prompts, tmp_path):
    images = write(np.full((N_FRAMES, *SHAPE), np.nan, np.float32), "nan.tif")
    assert run_json("propagate", images, prompts, "-o", tmp_path / "out.tif")["n_propagated"] == 7


def test_an_object_of_one_pixel_and_one_that_covers_the_frame(
    run_json, factory, write, images, tmp_path
):
    labels = blank()
    labels[0] = 1
    labels[0, 5, 5] = 2
    result = run_json("propagate", images, write(labels), "-o", tmp_path / "out.tif")
    assert result["n_objects"] == 2


@pytest.fixture
def broken_off(run, run_json, factory, prompts, tmp_path):
    """Propagate what ends in the middle, and go on when it is mended; returns what is said."""

    def broken_off(images, mend):
        arguments = ("propagate", images, prompts, "-o", tmp_path / "out.tif")
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert not (tmp_path / "out.tif").exists()
        mend()
        result = run_json(*arguments)
        assert 0 < result["n_propagated"] < 7  # what was finished isn't done again
        run_json(*arguments[:-1], tmp_path / "whole.tif")
        assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
        *_, line = err.splitlines()
        assert line.startswith("Error: ")
        return line

    return broken_off


def test_a_disk_that_is_full_in_the_middle(broken_off, images, monkeypatch):
    left = iter(range(8))
    fsync = os.fsync

    def refuse(descriptor):
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(files.os, "fsync", refuse)
    said = broken_off(images, lambda: monkeypatch.setattr(files.os, "fsync", fsync))
    assert "out.session" in said
    assert "Free some space" in said


def test_images_deleted_in_the_middle(broken_off, factory, images, tmp_path, monkeypatch):
    folder = tmp_path / "movie"
    deleted, away = folder / "5.tif", tmp_path / "away.tif"
    folder.mkdir()
    for t, frame in enumerate(tifffile.imread(images)):
        tifffile.imwrite(folder / f"{t}.tif", frame)
    monkeypatch.setitem(FrameStack.__init__.__kwdefaults__, "cache_bytes", 0)

    def look(frames, t):
        if t == 3 and deleted.exists():
            deleted.rename(away)
        frames.read(t)

    def mend():
        factory.look = lambda frames, t: frames.read(t)
        away.rename(deleted)

    factory.look = look
    said = broken_off(folder, mend)
    assert "frame 5" in said
    assert "movie" in said


def test_an_output_folder_that_cannot_be_written(message, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    assert str(tmp_path) in message("--session", tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()

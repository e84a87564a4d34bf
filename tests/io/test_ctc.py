from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_vos.errors import FramesError, StoreError
from napari_vos.io import CtcTrack, write_ctc


def stack(*frames: str) -> np.ndarray:
    """Return labels of which each frame is a row of digits."""
    return np.array([[[int(digit) for digit in frame]] for frame in frames])


def masks(folder) -> list[list[int]]:
    return [tifffile.imread(path)[0].tolist() for path in sorted(folder.glob("mask*.tif"))]


def test_masks_and_tracks(tmp_path):
    labels = stack("1100", "1100", "2030", "2030")
    rows = write_ctc(tmp_path / "01_RES", labels, {2: 1, 3: 1})
    assert rows == (CtcTrack(1, 0, 1, 0), CtcTrack(2, 2, 3, 1), CtcTrack(3, 2, 3, 1))
    assert (tmp_path / "01_RES" / "res_track.txt").read_text() == "1 0 1 0\n2 2 3 1\n3 2 3 1\n"
    assert masks(tmp_path / "01_RES") == labels[:, 0].tolist()
    first = tifffile.imread(tmp_path / "01_RES" / "mask000.tif")
    assert first.dtype == np.uint16
    assert first.shape == (1, 4)


def test_what_comes_back_is_a_track_of_its_own(tmp_path):
    labels = stack("15", "10", "05", "10", "05")
    rows = write_ctc(tmp_path / "out", labels, {})
    assert rows == (
        CtcTrack(1, 0, 1, 0),
        CtcTrack(5, 0, 0, 0),
        CtcTrack(6, 3, 3, 1),
        CtcTrack(7, 2, 2, 5),
        CtcTrack(8, 4, 4, 7),
    )
    assert masks(tmp_path / "out") == [[1, 5], [1, 0], [0, 7], [6, 0], [0, 8]]


def test_a_child_comes_from_the_last_stretch_of_its_parent(tmp_path):
    rows = write_ctc(tmp_path / "out", stack("1", "0", "1", "3"), {3: 1})
    assert rows == (CtcTrack(1, 0, 0, 0), CtcTrack(3, 3, 3, 4), CtcTrack(4, 2, 2, 1))


def test_names_of_more_than_a_thousand_frames_have_more_digits(tmp_path):
    write_ctc(tmp_path / "out", np.ones((1001, 1, 1), int), {})
    assert (tmp_path / "out" / "mask0000.tif").exists()
    assert (tmp_path / "out" / "mask1000.tif").exists()


@pytest.mark.parametrize(
    ("labels", "parents", "told"),
    [
        (stack("0", "0"), {}, "no tracks to write to .*: all frames are empty"),
        (stack("1", "2"), {2: 9}, "Object 2 has the parent 9, which is on no frame"),
        (stack("1", "1"), {1: 1}, "1 begins on frame 0, and its parent 1 is there until frame 1"),
        (stack("10", "12"), {2: 1}, "2 begins on frame 1, and its parent 1 is there until frame 1"),
        (stack("1", "0", "2") * 1.0, {}, "holds float64 numbers"),
        (stack("1", "2") - 2, {}, "negative label -1"),
    ],
)
def test_what_is_no_track(tmp_path, labels, parents, told):
    with pytest.raises(FramesError, match=told):
        write_ctc(tmp_path / "out", labels, parents)
    assert not list(tmp_path.iterdir())


def test_no_label_is_left_for_what_comes_back(tmp_path):
    labels = np.array([65535, 0, 65535]).reshape(3, 1, 1)
    with pytest.raises(StoreError, match="labels above 65535"):
        write_ctc(tmp_path / "out", labels, {})


def test_only_such_a_folder_is_replaced(tmp_path):
    out = tmp_path / "out"
    write_ctc(out, stack("1", "1", "1"), {})
    with pytest.raises(StoreError, match="exists already"):
        write_ctc(out, stack("1"), {})
    write_ctc(out, stack("2"), {}, overwrite=True)
    assert {path.name for path in out.iterdir()} == {"mask000.tif", "res_track.txt"}
    (out / "precious.txt").touch()
    with pytest.raises(StoreError, match="folder of another kind"):
        write_ctc(out, stack("1"), {}, overwrite=True)
    with pytest.raises(StoreError, match="Make the folder first"):
        write_ctc(tmp_path / "no" / "out", stack("1"), {})
    assert not list(tmp_path.glob("*.tmp"))

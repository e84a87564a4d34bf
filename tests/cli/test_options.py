from __future__ import annotations

import pytest

from napari_vos.cli.options import (
    parse_channels,
    parse_frame_list,
    parse_frames,
    parse_size,
)
from napari_vos.errors import DeviceError, FramesError


@pytest.mark.parametrize(
    ("text", "frames"),
    [(None, range(8)), ("2:5", range(2, 5)), (":3", range(3)), ("6:", range(6, 8))],
)
def test_frames(text, frames):
    assert parse_frames(text, 8) == frames


@pytest.mark.parametrize("text", ["3", "5:5", "0:9", "a:b", "-1:3", "1:2:3", ""])
def test_frames_that_are_none(text):
    with pytest.raises(FramesError, match=r"--frames '.*0:8"):
        parse_frames(text, 8)


@pytest.mark.parametrize(
    ("text", "frames"), [("3", [3]), ("5, 0", [0, 5]), ("1,6:8,7", [1, 6, 7]), ("0:8", [*range(8)])]
)
def test_lists_of_frames(text, frames):
    assert parse_frame_list("--frames", text, 8) == frames


@pytest.mark.parametrize("text", ["", "8", "-1", "5:5", "3:1", "7:9", "a", "1,,2", ":3", "1-3"])
def test_lists_of_frames_that_are_none(text):
    with pytest.raises(FramesError, match=r"--incomplete '.*frames 0 to 7.*20:30"):
        parse_frame_list("--incomplete", text, 8)


def test_channels():
    assert parse_channels(None) is None
    assert parse_channels("2") == [2]
    assert parse_channels("0, 2") == [0, 2]


@pytest.mark.parametrize("text", ["red", "0,,1", ""])
def test_channels_that_are_none(text):
    with pytest.raises(FramesError, match="--channels"):
        parse_channels(text)


def test_sizes():
    assert parse_size(None) is None
    assert parse_size("500MB") == 500_000_000
    assert parse_size("1.5 GB") == 1_500_000_000


@pytest.mark.parametrize("text", ["", "lots", "2", "-1GB", "2GiB"])
def test_sizes_that_are_none(text):
    with pytest.raises(DeviceError, match=r"--memory '.*500MB or 2GB"):
        parse_size(text)

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_vos import open_frames
from napari_vos.errors import FramesError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def write_video(path: Path, *, codec: str, pixels: str, n_frames: int = 40) -> None:
    """Write a video of which frame t has the grey value 5 t."""
    av: Any = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, pixels
        stream.codec_context.gop_size = 12
        for t in range(n_frames):
            image = np.full((32, 48, 3), 5 * t, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("movie.mp4", "mpeg4", "yuv420p"),
        ("movie.avi", "mjpeg", "yuvj420p"),
        ("movie.mkv", "ffv1", "yuv420p"),
    ],
)
def test_frames_in_any_order(tmp_path: Path, name: str, codec: str, pixels: str) -> None:
    write_video(tmp_path / name, codec=codec, pixels=pixels)
    frames = open_frames(tmp_path / name)
    assert (frames.axes, frames.n_frames, frames.shape) == ("TYXC", 40, (32, 48))
    for t in (0, 1, 2, 30, 29, 28, 3, 39, 0, 11, 12, 13):
        assert abs(frames.read(t).astype(int) - 5 * t).max() <= 6, t


def test_going_backward_decodes_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "movie.mp4", codec="mpeg4", pixels="yuv420p")
    video: Any = open_frames(tmp_path / "movie.mp4")._images
    container, decoded = video._container, []

    class Watched:
        def decode(self, stream: Any) -> Iterator[Any]:
            for frame in container.decode(stream):
                decoded.append(frame.pts)
                yield frame

        def __getattr__(self, name: str) -> Any:
            return getattr(container, name)

    monkeypatch.setattr(video, "_container", Watched())
    for t in range(40):
        video[t, :, :, :]
    assert len(decoded) == 40
    for t in range(39, -1, -1):
        video[t, :, :, :]
    assert len(decoded) <= 80


def test_grey_video(tmp_path: Path) -> None:
    write_video(tmp_path / "movie.mkv", codec="ffv1", pixels="gray")
    frames = open_frames(tmp_path / "movie.mkv")
    assert frames.axes == "TYX"
    assert abs(frames.read(7).astype(int) - 35).max() <= 2


def test_a_damaged_video(tmp_path: Path) -> None:
    pytest.importorskip("av")
    (tmp_path / "movie.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(FramesError, match=r"Can't open '.*movie\.mp4' as video"):
        open_frames(tmp_path / "movie.mp4")


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "movie.mp4").touch()
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(FramesError, match=r"pip install 'napari-vos\[video\]'"):
        open_frames(tmp_path / "movie.mp4")

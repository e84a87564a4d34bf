from __future__ import annotations

import pytest

from napari_vos.errors import FramesError
from napari_vos.metrics import find_annotation


def test_complete_frames_are_read(tmp_path):
    (tmp_path / "meta.json").write_text('{"annotated_frames": [0, 3], "name": "a"}')
    annotation = find_annotation(tmp_path / "labels.tif")
    assert annotation is not None
    assert annotation.complete_frames == {0, 3}


def test_no_file(tmp_path):
    assert find_annotation(tmp_path / "labels.tif") is None


@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"annotated_frames": 3}'])
def test_a_file_that_cannot_be_understood(tmp_path, text):
    (tmp_path / "meta.json").write_text(text)
    with pytest.raises(FramesError, match=r"meta\.json.*annotated_frames"):
        find_annotation(tmp_path / "labels.tif")

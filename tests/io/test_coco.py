"""Hand-made annotations in the format of COCO."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_vos.errors import FramesError
from napari_vos.io.coco import CocoDataset, open_coco


@pytest.fixture
def content() -> dict[str, Any]:
    """An image of 4 x 6 pixels with a square, a piece of two columns, and a crowd."""
    return {
        "images": [
            {"id": 7, "file_name": "a.png", "height": 4, "width": 6},
            {"id": 9, "file_name": "b.png", "height": 4, "width": 6},
        ],
        "categories": [{"id": 31, "name": "bud"}, {"id": 5, "name": "cell"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 5, "segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]]},
            {
                "id": 2,
                "image_id": 7,
                "category_id": 31,
                "iscrowd": 0,
                "segmentation": {"counts": [17, 2, 2, 3], "size": [4, 6]},
            },
            {
                "id": 3,
                "image_id": 7,
                "category_id": 5,
                "iscrowd": 1,
                "segmentation": {"counts": [0, 2, 22], "size": [4, 6]},
            },
        ],
    }


def written(folder: Path, content: object) -> Path:
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))
    return path


def opened(folder: Path, content: object) -> CocoDataset:
    return open_coco(written(folder, content))


def test_masks_kinds_and_crowds(tmp_path: Path, content: dict[str, Any]) -> None:
    data = opened(tmp_path, content)
    assert data.categories == ("cell", "bud")
    assert [image.path.name for image in data.images] == ["a.png", "b.png"]
    square, columns, crowd = data.images[0].instances()
    assert np.argwhere(square.mask).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    # Runs go down the columns: pixels 17, 18 and 21, 22, 23 of columns of four.
    assert np.argwhere(columns.mask).tolist() == [[1, 4], [1, 5], [2, 4], [2, 5], [3, 5]]
    assert np.argwhere(crowd.mask).tolist() == [[0, 0], [1, 0]]
    assert [each.kind for each in (square, columns, crowd)] == [0, 1, 0]
    assert [each.is_crowd for each in (square, columns, crowd)] == [False, False, True]
    assert data.images[1].instances() == []


def test_several_polygons_are_one_instance_and_empty_ones_none(
    tmp_path: Path, content: dict[str, Any]
) -> None:
    content["annotations"] = content["annotations"][:1] * 2
    content["annotations"][0] = {
        **content["annotations"][0],
        "segmentation": [[0, 0, 1, 0, 1, 1, 0, 1], [4, 2, 6, 2, 6, 3, 4, 3]],
    }
    content["annotations"][1] = {**content["annotations"][1], "segmentation": []}
    [only] = opened(tmp_path, content).images[0].instances()
    assert np.argwhere(only.mask).tolist() == [[0, 0], [2, 4], [2, 5]]


def test_images_are_opened_as_one_frame(tmp_path: Path, content: dict[str, Any]) -> None:
    pixels = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels[:3]).save(tmp_path / "b.png")
    first, second = opened(tmp_path, content).images
    np.testing.assert_array_equal(first.frames().read(0), pixels.transpose(2, 0, 1))
    with pytest.raises(FramesError, match=r"b.png' has \(3, 6\) pixels.*\(4, 6\)"):
        second.frames()
    (tmp_path / "a.png").unlink()
    with pytest.raises(FramesError, match=r"no image '.*a.png', which the annotations name"):
        first.frames()


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ({"counts": "aB3", "size": [4, 6]}, "compressed"),
        ({"counts": [3, 4], "size": [4, 6]}, "7 pixels, the image 24"),
        ([[1, 2, 3]], "polygons"),
        ("somewhere", "polygons"),
    ],
)
def test_masks_that_are_none(
    tmp_path: Path, content: dict[str, Any], segmentation: object, words: str
) -> None:
    content["annotations"][0]["segmentation"] = segmentation
    with pytest.raises(FramesError, match=words):
        opened(tmp_path, content).images[0].instances()


def test_files_that_are_none(tmp_path: Path, content: dict[str, Any]) -> None:
    strange = json.loads(json.dumps(content))
    strange["annotations"][0]["image_id"] = 1
    unknown = json.loads(json.dumps(content))
    unknown["annotations"][0]["category_id"] = 1
    boxes = json.loads(json.dumps(content))
    del boxes["annotations"][0]["segmentation"]
    for broken in (strange, unknown, boxes, [], {"images": []}, "text"):
        with pytest.raises(FramesError, match="format of COCO"):
            opened(tmp_path, broken)
    (tmp_path / "annotations.json").write_text("{")
    for name in ("annotations.json", "nothing.json"):
        with pytest.raises(FramesError, match=f"{name}' as annotations"):
            open_coco(tmp_path / name)

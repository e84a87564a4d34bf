"""Images in the format of COCO as training data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from napari_vos.errors import FramesError
from napari_vos.io.coco import CocoDataset, open_coco
from napari_vos.networks.yolact import Anchors, make_priors
from napari_vos.training.coco import LabelledImage, truth_of_image
from napari_vos.training.fields import UNKNOWN, sample_field
from napari_vos.training.yolact import match
from napari_vos.training.yolact.matching import NEUTRAL


def box(left: int, top: int, right: int, bottom: int) -> list[list[int]]:
    return [[left, top, right, top, right, bottom, left, bottom]]


@pytest.fixture
def data(tmp_path: Path) -> CocoDataset:
    """A cell, a bud on it, a crowd of buds; and an image without anything."""
    Image.fromarray(np.eye(64, dtype=np.uint8) * 200).save(tmp_path / "a.png")
    annotations = [
        {"image_id": 1, "category_id": 1, "segmentation": box(8, 8, 24, 24)},
        {"image_id": 1, "category_id": 2, "segmentation": box(8, 8, 12, 16)},
        {"image_id": 1, "category_id": 2, "segmentation": box(32, 32, 64, 64), "iscrowd": 1},
    ]
    images = [{"id": i, "file_name": "a.png", "height": 64, "width": 64} for i in (1, 2)]
    categories = [{"id": 1, "name": "cell"}, {"id": 2, "name": "bud"}]
    path = tmp_path / "data.json"
    path.write_text(
        json.dumps({"images": images, "categories": categories, "annotations": annotations})
    )
    return open_coco(path)


def test_labels_hold_instances_and_crowds_are_unknown(data: CocoDataset) -> None:
    image = LabelledImage(data.images[0])
    labels = image.labels(0)
    assert (labels[10, 20], labels[10, 10], labels[40, 40], labels[30, 30]) == (1, 2, UNKNOWN, 0)
    assert image.filled == [0]
    assert LabelledImage(data.images[1]).filled == []
    fields = sample_field(np.random.default_rng(0), image)
    assert fields.images.isfinite().all()


def test_an_instance_without_a_pixel_is_none(data: CocoDataset) -> None:
    thin = {"image_id": 1, "category_id": 1, "segmentation": box(8, 8, 8, 24)}
    image = LabelledImage(replace(data.images[0], annotations=(thin,)))
    fields = sample_field(np.random.default_rng(0), image)
    assert fields.images.isfinite().all()
    assert not fields.labels.any()


def test_crowds_are_no_background_to_match(data: CocoDataset) -> None:
    truth = truth_of_image(data.images[0], data, ("bud", "cell"), size=32)
    assert truth.classes.tolist() == [1, 0]
    torch.testing.assert_close(truth.boxes, torch.tensor([[8, 8, 24, 24], [8, 8, 12, 16]]) / 64)
    torch.testing.assert_close(truth.crowds, torch.tensor([[0.5, 0.5, 1, 1]]))
    assert truth.masks.sum(dim=(1, 2)).tolist() == [64, 8]
    priors = make_priors(Anchors(((8.0,),), (1,)), [(4, 4)], 32, torch.device("cpu"))
    classes = match(truth, priors).classes.reshape(4, 4)
    assert (classes[2:, 2:] == NEUTRAL).all()
    assert (classes[:2, 2:] == 0).all()
    nothing = truth_of_image(data.images[1], data, ("cell",), size=32)
    assert [len(part) for part in (nothing.boxes, nothing.masks, nothing.crowds)] == [0, 0, 0]


def test_categories_that_are_no_classes_are_told(data: CocoDataset) -> None:
    with pytest.raises(FramesError, match=r"'a.png' shows bud, and the classes are cell, yeast\."):
        truth_of_image(data.images[0], data, ("cell", "yeast"), size=32)

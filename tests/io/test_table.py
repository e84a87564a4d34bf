from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_vos.errors import StoreError
from napari_vos.io import Judgement, ObjectRow, object_table, write_table

if TYPE_CHECKING:
    from pathlib import Path


def test_objects_measured_by_hand() -> None:
    first = np.array([[7, 7, 0], [7, 0, 0], [0, 0, 65535]], np.uint16)
    second = np.zeros((3, 3), np.uint16)
    third = np.array([[0, 0, 0], [0, 2, 2], [0, 0, 0]], np.uint16)
    known = [{7: Judgement(1.0, "user")}, {}, {2: Judgement(0.25, "propagated")}]
    assert list(object_table([first, second, third], known)) == [
        ObjectRow(0, 7, 3, 1 / 3, 1 / 3, 1.0, "user"),
        ObjectRow(0, 65535, 1, 2.0, 2.0, None, None),
        ObjectRow(2, 2, 2, 1.0, 1.5, 0.25, "propagated"),
    ]


def test_each_frame_needs_its_judgements() -> None:
    with pytest.raises(ValueError, match="shorter"):
        list(object_table([np.zeros((2, 2), np.uint16)], []))


def test_table_as_text(tmp_path: Path) -> None:
    rows = [
        ObjectRow(0, 7, 3, 1 / 3, 2.0, 1.0, "user"),
        ObjectRow(4, 9, 1, 0.0, 0.5, None, None),
    ]
    write_table(tmp_path / "objects.csv", iter(rows))
    assert (tmp_path / "objects.csv").read_text().splitlines() == [
        "t,id,area,centroid_y,centroid_x,confidence,source",
        "0,7,3,0.3333,2.0000,1.0000,user",
        "4,9,1,0.0000,0.5000,,",
    ]


def test_table_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"Can't write '.*objects\.csv'"):
        write_table(tmp_path / "missing" / "objects.csv", [])
    (tmp_path / "objects.csv").write_text("old")
    with pytest.raises(StoreError, match="exists already"):
        write_table(tmp_path / "objects.csv", [])

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Labels

from napari_vos._napari.spread import SpreadLabels


@pytest.fixture
def labels() -> zarr.Array[Any]:
    array = zarr.create_array({}, shape=(3, 4, 5), chunks=(1, 4, 5), dtype=np.uint16)
    array[:] = np.arange(60).reshape(3, 4, 5)
    return array


def test_reads_the_same_on_each_channel(labels: zarr.Array[Any]) -> None:
    spread = SpreadLabels(labels, "TCYX", (3, 2, 4, 5))
    expected = np.broadcast_to(np.asarray(labels[:])[:, None], (3, 2, 4, 5))
    for key in [..., 1, (1, 0), (2, 1, slice(1, 3)), (slice(None), 0), (slice(None), slice(1, 2))]:
        np.testing.assert_array_equal(spread[key], expected[key])
    index = (np.array([0, 2]), np.array([1, 0]), np.array([3, 1]), np.array([4, 0]))
    np.testing.assert_array_equal(spread[index], expected[index])
    np.testing.assert_array_equal(np.asarray(spread), expected)


def test_can_be_shown_and_painted_in_a_layer(labels: zarr.Array[Any]) -> None:
    viewer = ViewerModel()
    layer = Labels(SpreadLabels(labels, "TCYX", (3, 2, 4, 5)))
    viewer.add_layer(layer)
    viewer.dims.set_point(0, 2)
    layer.paint((2, 1, 2, 2), 9)
    assert labels[2, 2, 2] == 9
    layer.fill((2, 0, 0, 0), 7)
    assert labels[2, 0, 0] == 7

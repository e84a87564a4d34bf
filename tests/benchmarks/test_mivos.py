from __future__ import annotations

import importlib

import numpy as np
import torch

from napari_vos.networks.memory import read_memory


def test_dense_reading_is_the_same_arithmetic():
    mivos = importlib.import_module("mivos")
    generator = torch.Generator().manual_seed(0)
    key, value, query = (
        torch.randn(1, depth, n, generator=generator) for depth, n in ((8, 90), (5, 90), (8, 40))
    )
    expected = read_memory(key, value, query, top_k=mivos.TOP_K)
    torch.testing.assert_close(mivos.read_densely(key, value, query), expected)


def test_the_movie_shows_as_many_objects_as_are_asked_for():
    images, first = importlib.import_module("mivos").make_movie(3, (64, 80), 2)
    assert images.shape == (3, 64, 80, 3)
    assert set(np.unique(first)) == {0, 1, 2}
    assert (images[0] != images[2]).any()

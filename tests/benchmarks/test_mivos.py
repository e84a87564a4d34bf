from __future__ import annotations

import importlib

import numpy as np
import pytest
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


@pytest.mark.parametrize("memory_profile", [2, 3])
def test_every_step_of_ours_is_measured(tmp_path, monkeypatch, memory_profile):
    mivos = importlib.import_module("mivos")
    monkeypatch.setattr(mivos, "peak_of", lambda step: (3072 if step() is not None else 0, 2e6))
    case = {
        "size": [32, 48],
        "n_objects": 2,
        "n_memories": 3,
        "options": {"memory_profile": memory_profile, "tile_side": None},
        "folder": str(tmp_path),
    }
    measured = mivos.run_steps(case)
    assert measured["peak_mb"] == 2
    assert (measured["encode_bytes"], measured["find_bytes"]) == (2, 1)
    assert len(list(tmp_path.iterdir())) == (6 if memory_profile == 3 else 0)

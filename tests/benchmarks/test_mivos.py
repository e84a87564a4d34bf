from __future__ import annotations

import importlib
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from napari_vos.networks.memory import read_memory


def test_dense_reading_is_the_same_arithmetic():
    cases = importlib.import_module("mivos_cases")
    generator = torch.Generator().manual_seed(0)
    key, value, query = (
        torch.randn(1, depth, n, generator=generator) for depth, n in ((8, 90), (5, 90), (8, 40))
    )
    expected = read_memory(key, value, query, top_k=cases.TOP_K)
    torch.testing.assert_close(cases.read_densely(key, value, query), expected)


def test_the_movie_shows_as_many_objects_as_are_asked_for():
    images, first = importlib.import_module("mivos_cases").make_movie(3, (64, 80), 2)
    assert images.shape == (3, 64, 80, 3)
    assert set(np.unique(first)) == {0, 1, 2}
    assert (images[0] != images[2]).any()


def test_labels_that_differ_are_told_apart_by_their_margin(tmp_path):
    ours, straightforward = tmp_path / "ours", tmp_path / "straightforward"
    margins = np.full((4, 5), 0.5, np.float32)
    margins[0] = 1e-5
    labels, probabilities = np.ones((4, 5), np.uint16), np.full((1, 4, 5), 0.75, np.float32)
    found = labels.copy()
    found[0, :2] = found[3, 0] = 0
    for folder, parts in (
        (straightforward, {"labels": labels, "margins": margins, "probabilities": probabilities}),
        (ours, {"labels": found, "probabilities": (probabilities - 0.25).astype(np.float16)}),
    ):
        folder.mkdir()
        np.savez(folder / "0.npz", **parts)
    assert importlib.import_module("mivos").differences(ours, straightforward) == pytest.approx(
        {
            "labels_that_differ": 3 / 20,
            "of_clear_ones": 1 / 15,
            "pixels_without_a_clear_one": 5 / 20,
            "largest_difference_of_probabilities": 0.25,
        }
    )


def test_operations_grow_with_objects_and_memories():
    count = importlib.import_module("mivos").count_flops
    one, two, three = (count((64, 64), n, 1) for n in (1, 2, 3))
    assert two > one
    assert three - two == pytest.approx(two - one)
    assert count((64, 64), 2, 5) - count((64, 64), 2, 1) == 2 * 2 * 4 * 16**2 * 128


def test_the_encoders_of_compiled_networks_become_graphs():
    parts = {name: Mock() for name in ("rgb_encoder", "mask_rgb_encoder", "decoder")}
    asked = []

    def load(name, path):
        asked.append((name, path))
        return SimpleNamespace(**parts)

    network = importlib.import_module("mivos_cases").compiled(load)("propagation", "file")
    assert asked == [("propagation", "file")]
    assert network.decoder is parts["decoder"]
    for name, part in parts.items():
        mode = {} if name == "decoder" else {"mode": "reduce-overhead"}
        part.compile.assert_called_once_with(**mode)


@pytest.mark.parametrize("memory_profile", [2, 3])
def test_every_step_of_ours_is_measured(tmp_path, monkeypatch, memory_profile):
    steps = importlib.import_module("mivos_steps")
    monkeypatch.setattr(steps, "peak_of", lambda step: (3072 if step() is not None else 0, 2e6))
    case = {
        "name": "3 memories",
        "size": [32, 48],
        "n_objects": 2,
        "n_memories": 3,
        "memory_profile": memory_profile,
        "tile_side": None,
        "folder": str(tmp_path),
    }
    measured = steps.run_steps(case)
    assert measured["peak_mb"] == 2
    assert (measured["encode_bytes"], measured["find_bytes"]) == (2, 1)
    assert len(list(tmp_path.iterdir())) == (6 if memory_profile == 3 else 0)

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tifffile
import torch

from napari_vos.simulation import Modality, Scenario, simulate
from napari_vos.training.mast import MastTraining


@pytest.fixture
def bands() -> ModuleType:
    return importlib.import_module("bands")


@pytest.fixture
def sequence(bands: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data" / "cells"
    folder.mkdir(parents=True)
    scenario = Scenario(
        modality=Modality.FLUORESCENCE, shape=(64, 64), n_frames=3, n_cells=3, death_rate=0.0
    )
    movie = simulate(scenario, seed=1)
    for name, stack in (("images", movie.images), ("labels", movie.labels)):
        tifffile.imwrite(folder / f"{name}.tif", stack, photometric="minisblack")
    monkeypatch.setattr(bands, "PARTS", {"cells": (0, 0, 64)})
    monkeypatch.setattr(bands, "LAST", 2)
    return folder


def test_whole_frames_keep_the_channel_that_is_read(bands: ModuleType) -> None:
    images = torch.rand(2, 3, 4, 4)
    shown, read = bands.show_whole(images, 1)
    assert shown is images
    torch.testing.assert_close(read, images[:, 1:2])


@pytest.mark.slow
def test_both_ways_begin_alike_and_are_measured(
    bands: ModuleType, sequence: Path, tmp_path: Path
) -> None:
    recipe = MastTraining(
        out=tmp_path, scenes=0, movies=(sequence / "images.tif",), batch_size=1, crop=32
    )
    hidden, again, whole = (bands.learn(recipe, way, 1) for way in ("hidden", "hidden", "whole"))
    first = [network.post_convolution.weight for network in (hidden, again, whole)]
    torch.testing.assert_close(first[0], first[1], rtol=0, atol=0)
    assert not torch.equal(first[0], first[2])
    path = tmp_path / "weights.safetensors"
    bands.save_file({k: v.contiguous() for k, v in hidden.state_dict().items()}, path)
    assert 0 <= bands.measure(sequence, path) <= 1
    truth = tifffile.imread(sequence / "labels.tif")
    assert bands.measure(sequence, None) < 1 or np.array_equal(truth[0], truth[2])

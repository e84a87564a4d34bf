"""Fine-tuning MiVOS: a few steps on generated weights and tiny clips."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_vos import FrameStack, checkpoints
from napari_vos.errors import FramesError, StoreError, WeightsError
from napari_vos.networks.mivos import FusionNetwork, PropagationNetwork
from napari_vos.training.labelled import gather_labelled
from napari_vos.training.loop import Learner
from napari_vos.training.mivos import (
    ClipStream,
    MivosTraining,
    hardest_pixels,
    roll_out,
    train,
)
from tests.golden import fill, golden_shapes


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Generated weights in the form of the authors' files."""
    path = tmp_path_factory.mktemp("weights") / "official.pth"
    torch.save(fill(PropagationNetwork(), "mivos_prop"), path)
    return path


@pytest.fixture
def movie():
    """A bright square on three of five frames."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (5, 64, 64, 3), dtype=np.uint8)
    labels = np.zeros(images.shape[:3], np.uint16)
    for t in (0, 2, 4):
        labels[t, 8:58, 4 + t : 54 + t] = 7
    images[labels > 0] += 150
    return FrameStack(images, axes="TYXS", name="folder/movie.tif"), labels


def recipe_in(folder, start, **settings):
    return MivosTraining(folder, start, **{"minutes": 1e-4, "batch_size": 1, "crop": 48} | settings)


def test_the_loss_falls_and_statistics_stay(tmp_path, start, movie):
    recipe = recipe_in(tmp_path, start)
    network = checkpoints.load_network("mivos_propagation", start)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    batch = ClipStream(gather_labelled(*movie), recipe, 0).batch(np.random.default_rng(0))
    assert batch.images.shape == (1, 3, 3, 48, 48)
    learner = Learner(network, 2e-4, warm_up=1)
    losses = []
    for _ in range(5):
        found = roll_out(network, learner.to_device(batch), torch.Generator())
        losses.append(found.total.item())
        learner.learn(found, 0.0)
    assert losses[-1] < 0.8 * losses[0]
    after = network.state_dict()
    assert all(
        torch.equal(after[key].cpu(), value)
        for key, value in before.items()
        if "running_" in key or "num_batches" in key
    )
    learned = {
        key.split(".")[0] for key, value in before.items() if not torch.equal(after[key], value)
    }
    assert learned == {"mask_rgb_encoder", "rgb_encoder", "kv_m_f16", "kv_q_f16", "decoder"}


def test_the_hardest_pixels_alone_count():
    probabilities = torch.full((2, 1, 10, 10), 0.5)
    probabilities[1, 0, :, :2], probabilities[0, 0, :, :2] = 0.1, 0.9
    labels = torch.zeros(10, 10, dtype=torch.int64)
    labels[:, :2] = 1
    assert hardest_pixels(probabilities, labels).item() == pytest.approx(-math.log(0.1))
    probabilities[:, 0, :, 2:] = torch.tensor([0.0, 1.0])[:, None, None]
    assert hardest_pixels(probabilities, labels).item() == pytest.approx(-math.log(1e-7), rel=1e-3)


def test_what_was_found_is_remembered_for_the_next_frame(start, movie, monkeypatch):
    network = checkpoints.load_network("mivos_propagation", start)
    batch = ClipStream(gather_labelled(*movie), recipe_in(None, start), 0).batch(
        np.random.default_rng(0)
    )
    remembered, memorize = [], network.memorize

    def note(image, masks, others):
        remembered.append(masks.detach())
        return memorize(image, masks, others)

    monkeypatch.setattr(network, "memorize", note)
    with torch.no_grad():
        roll_out(network, batch, torch.Generator())
    first, second = remembered
    assert set(first.unique().tolist()) == {0, 1}
    assert len(second.unique()) > 100


def test_it_writes_weights_that_the_engine_takes(tmp_path, start, movie):
    frames, labels = movie
    lines = []
    path = train(frames, labels, recipe_in(tmp_path, start), report=lines.append)
    found = checkpoints.identify(path)
    assert (found.network, found.misfit) == ("mivos_propagation", "")
    shapes = checkpoints.read_state_dict(path)
    assert {key: tuple(value.shape) for key, value in shapes.items()} == golden_shapes("mivos_prop")
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["data"] == "3 labelled frames of movie.tif"
    assert card["recipe"] == "napari-vos train mivos"
    assert "official.pth" in card["licence"]
    steps = card["steps"]
    assert steps >= 1
    again = train(frames, labels, recipe_in(tmp_path, start, minutes=2e-4), report=lines.append)
    assert json.loads(again.with_suffix(".json").read_text())["steps"] > steps
    assert lines[-1].startswith(f"continuing at step {steps} after")
    changed = labels.copy()
    changed[4, 20, 20] = 0
    with pytest.raises(StoreError, match="other images or masks, or from other weights"):
        train(frames, changed, recipe_in(tmp_path, start))


def test_weights_of_another_network_are_refused(tmp_path, movie):
    other = tmp_path / "fusion.safetensors"
    save_file(FusionNetwork().state_dict(), other)
    with pytest.raises(WeightsError, match="network mivos_fusion, and those of mivos_propagation"):
        train(*movie, recipe_in(tmp_path / "out", other))
    assert not (tmp_path / "out").exists()


def test_one_labelled_frame_is_refused_before_anything_is_written(tmp_path, start, movie):
    frames, labels = movie
    labels[2:] = 0
    with pytest.raises(FramesError, match="1 of the frames"):
        train(frames, labels, recipe_in(tmp_path / "out", start))
    assert not (tmp_path / "out").exists()

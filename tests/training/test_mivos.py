"""Fine-tuning MiVOS: a few steps on generated weights and tiny clips."""

from __future__ import annotations

import json
import math
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_vos import FrameStack, checkpoints
from napari_vos.errors import FramesError, StoreError, WeightsError
from napari_vos.networks.mivos import FusionNetwork, PropagationNetwork
from napari_vos.training.labelled import Clips, cut_clip, gather_labelled
from napari_vos.training.loop import Learner
from napari_vos.training.mivos import MivosTraining, train
from napari_vos.training.mivos_rollout import fuse, hardest_pixels, roll_out
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


def clips_of(movie) -> Clips:
    """One clip of the three labelled frames."""
    known = gather_labelled(*movie)
    return cut_clip(np.random.default_rng(0), known, (0, 1, 2), side=48)


def learned(network, batch: Clips, losses, *, learning_rate: float) -> list[float]:
    """The losses of some steps on the same batch."""
    learner = Learner(network, learning_rate, warm_up=1)
    totals = []
    for _ in range(4):
        found = losses(network, learner.to_device(batch), torch.Generator())
        totals.append(found.total.item())
        learner.learn(found, 0.0)
    return totals


def test_the_loss_falls_and_statistics_stay(start, movie):
    network = checkpoints.load_network("mivos_propagation", start)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    losses = learned(network, clips_of(movie), roll_out, learning_rate=1e-5)
    assert losses[-1] < 0.8 * losses[0]
    after = network.state_dict()
    assert all(
        torch.equal(after[key].cpu(), value)
        for key, value in before.items()
        if "running_" in key or "num_batches" in key
    )
    changed = {
        key.split(".")[0] for key, value in before.items() if not torch.equal(after[key], value)
    }
    assert changed == {"mask_rgb_encoder", "rgb_encoder", "kv_m_f16", "kv_q_f16", "decoder"}


def test_the_hardest_pixels_alone_count():
    probabilities = torch.full((2, 1, 10, 10), 0.5)
    probabilities[1, 0, :, :2], probabilities[0, 0, :, :2] = 0.1, 0.9
    labels = torch.zeros(10, 10, dtype=torch.int64)
    labels[:, :2] = 1
    assert hardest_pixels(probabilities, labels).item() == pytest.approx(-math.log(0.1))
    probabilities[:, 0, :, 2:] = torch.tensor([1e-9, 1.0])[:, None, None]
    assert hardest_pixels(probabilities, labels).item() == pytest.approx(-math.log(1e-9))


def test_what_was_found_is_remembered_for_the_next_frame(start, movie, monkeypatch):
    network = checkpoints.load_network("mivos_propagation", start)
    remembered, memorize = [], network.memorize

    def note(image, masks, others):
        remembered.append(masks.detach())
        return memorize(image, masks, others)

    monkeypatch.setattr(network, "memorize", note)
    with torch.no_grad():
        roll_out(network, clips_of(movie), torch.Generator())
    first, second = remembered
    assert set(first.unique().tolist()) == {0, 1}
    assert len(second.unique()) > 100


def test_fusion_learns_from_what_a_correction_changes(start, movie):
    propagation = checkpoints.load_network("mivos_propagation", start)
    network = FusionNetwork()
    fill(network, "mivos_fusion")
    clips = clips_of(movie)._replace(times=torch.tensor([[10, 13, 14]]))
    seen = []
    network.register_forward_pre_hook(lambda _, arguments: seen.append(arguments))
    losses = learned(network, clips, partial(fuse, propagation=propagation), learning_rate=1e-2)
    assert losses[-1] < losses[0]
    image, old, new, attention, distance = seen[0]
    torch.testing.assert_close(image, clips.images[0, 1:2])
    assert not torch.equal(old, new)
    assert 0 < attention[:, 0].max() <= 1
    torch.testing.assert_close(distance, torch.tensor([[0.75, 0.25]]))
    assert all(value.grad is None for value in propagation.parameters())


def test_fusion_weights_are_trained_where_they_are_named(tmp_path, start, movie):
    fusion = tmp_path / "fusion.safetensors"
    save_file(fill(FusionNetwork(), "mivos_fusion"), fusion)
    path = train(*movie, recipe_in(tmp_path / "out", start, fusion_weights=fusion))
    found = checkpoints.identify(path)
    assert (found.network, found.misfit) == ("mivos_fusion", "")
    assert "fusion.safetensors" in json.loads(path.with_suffix(".json").read_text())["licence"]
    frames, labels = movie
    labels[4] = 0
    with pytest.raises(FramesError, match="No object is on three labelled frames of 'folder/mov"):
        train(frames, labels, recipe_in(tmp_path / "none", start, fusion_weights=fusion))
    assert not (tmp_path / "none").exists()


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

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_vos import checkpoints
from napari_vos.engines.windows import WINDOW_SIZE
from napari_vos.networks.compact import Encoder
from napari_vos.networks.interaction import InteractionNetwork
from napari_vos.training.interaction import (
    InteractionTraining,
    MarkedStream,
    click_on_mistake,
    compare,
    take_over,
    train,
)
from napari_vos.training.marked import Marked, sample_marked
from napari_vos.training.marks import draw_box, draw_mark, largest_piece
from napari_vos.training.scenes import Scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Bright discs in noise, one at the border."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((3, 120, 150))[1:]
    labels = np.zeros(rows.shape, np.uint16)
    for object_id, (y, x, radius) in enumerate([(40, 50, 24), (50, 90, 14), (112, 60, 12)], 1):
        labels[np.hypot(rows - y, columns - x) < radius] = object_id
    images = 1000 * (labels > 0) + rng.normal(300, 30, labels.shape)
    return Scene(images.astype(np.uint16), labels, exact=True)


@pytest.fixture(scope="module")
def samples(scene: Scene) -> list[Marked]:
    rng = np.random.default_rng(1)
    return [sample_marked(rng, scene) for _ in range(60)]


def test_marks_lie_on_what_they_mark() -> None:
    rng = np.random.default_rng(0)
    region = np.zeros((60, 60), bool)
    region[10:40, 15:25] = True
    for _ in range(20):
        mark = draw_mark(rng, region)
        assert mark.any()
        assert (mark & region).sum() > 0.4 * mark.sum()
    assert not draw_mark(rng, np.zeros((9, 9), bool)).any()
    box = draw_box(rng, region)
    assert (box & region).sum() > 0.8 * region.sum()
    assert box.sum() < 1.6 * region.sum()
    region[50:52, 50:52] = True
    assert largest_piece(region).sum() == 300


def test_every_window_is_marked_and_shows_its_object(samples: list[Marked]) -> None:
    kinds = set()
    for sample in samples:
        assert sample.images.shape == (3, WINDOW_SIZE, WINDOW_SIZE)
        assert sample.truth.sum() > 5
        assert (sample.inside + sample.outside + sample.box).any()
        assert not (sample.previous * sample.others).any()
        assert not (sample.previous * (1 - sample.visible)).any()
        kinds.add((bool(sample.previous.any()), bool(sample.box.any())))
    assert kinds == {(True, False), (False, True), (False, False)}


def test_masks_before_a_correction_are_wrong_where_they_are_marked(samples: list[Marked]) -> None:
    corrected = [sample for sample in samples if sample.previous.any()]
    overlaps = []
    for sample in corrected:
        truth, before = sample.truth > 0.5, sample.previous > 0.5
        overlaps.append(float((truth & before).sum() / (truth | before).sum()))
        if sample.outside.any():
            assert (before & ~truth)[sample.outside > 0].float().mean() > 0.3
    assert 0.3 < np.mean(overlaps) < 0.95


def test_the_worst_mistake_is_clicked_on() -> None:
    truth, found, visible = torch.zeros(3, 1, 32, 32), torch.zeros(3, 1, 32, 32), torch.ones(32, 32)
    truth[:, :, 4:20, 4:20] = 1
    found[0, :, 4:20, 4:10] = 1  # too little
    found[1, :, 4:30, 4:20] = 1  # too much
    found[2] = truth[2]  # right
    inside, outside = click_on_mistake(found, truth, visible, torch.Generator().manual_seed(0))
    assert inside[0].any()
    assert not outside[0].any()
    assert not (inside[0] * found[0]).any()
    assert outside[1].any()
    assert not inside[1].any()
    assert not (outside[1] * truth[1]).any()
    assert inside[2].any()
    assert not (inside[2] * (1 - truth[2])).any()


def test_a_few_steps_lower_the_loss(samples: list[Marked]) -> None:
    torch.manual_seed(0)
    network = InteractionNetwork()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    batch = Marked(*(torch.stack(parts) for parts in zip(*samples[:4], strict=True)))
    totals = []
    for _ in range(10):
        losses = compare(network, batch, torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        totals.append(float(losses.total.detach()))
    assert totals[-1] < 0.8 * totals[0]


def test_batches_depend_on_seed_and_step_alone(scene: Scene) -> None:
    recipe = InteractionTraining(out=Path(), batch_size=2)
    first, again = (next(iter(MarkedStream([scene], recipe, 7))) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


def test_the_recipe_writes_weights_that_load(tmp_path: Path, scene: Scene) -> None:
    (tmp_path / "scenes").mkdir()
    np.savez(tmp_path / "scenes" / "scene-001000.npz", images=scene.images, labels=scene.labels)
    path = train(InteractionTraining(out=tmp_path, scenes=1, minutes=0.01, batch_size=2))
    assert checkpoints.identify(path).network == "interaction"
    assert checkpoints.identify(path).fits
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["steps"] > 0
    assert 0 <= card["training_jaccard"] <= 1


def test_an_encoder_starts_from_one_with_fewer_inputs_and_blocks() -> None:
    torch.manual_seed(0)
    small, large = Encoder(2, (4, 6, 8), (0, 1, 1)), Encoder(3, (4, 6, 8), (0, 1, 2))
    added = large.stages[0][0][0].weight[:, 2:].clone()
    take_over(large, small)
    assert torch.equal(large.stages[0][0][0].weight[:, :2], small.stages[0][0][0].weight)
    assert torch.equal(large.stages[0][0][0].weight[:, 2:], added)
    x = torch.rand(2, 4, 32, 32)
    large.eval()
    small.eval()
    assert torch.equal(large.stages[1](x), small.stages[1](x))


def test_real_movies_are_mixed_in(scene: Scene) -> None:
    real = Scene(scene.images, scene.labels, exact=False)
    recipe = InteractionTraining(out=Path(), movie_share=0.3)
    stream = MarkedStream([scene, real], recipe, 0)
    assert (len(stream.simulated), len(stream.real)) == (1, 1)
    asked = np.random.default_rng(0)
    chosen = [stream.choose(asked) for _ in range(300)]
    assert 0.2 < np.mean([not one.exact for one in chosen]) < 0.4

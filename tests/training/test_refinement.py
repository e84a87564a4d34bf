from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_vos import checkpoints
from napari_vos.engines.coarse_windows import coarsen, enlarge
from napari_vos.engines.subjects import Subject
from napari_vos.networks.refinement import NEIGHBOURHOOD, Known, RefinementNetwork
from napari_vos.session.merge import user_evidence
from napari_vos.training.outlines import (
    CANVAS_SIZE,
    N_OBJECTS,
    Outlines,
    as_given,
    sample_outlines,
    shift_outlines,
)
from napari_vos.training.refinement import (
    OutlineStream,
    RefinementTraining,
    compare,
    masks_around,
    train,
)
from napari_vos.training.scenes import Scene


def disk(side: int, y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.indices((side, side))
    return np.hypot(rows - y, columns - x) < radius


def disks(side: int) -> np.ndarray:
    """Labels of two objects that touch."""
    labels = disk(side, 50, 40, 25).astype(np.uint16)
    labels[disk(side, 70, 80, 22)] = 2
    return labels


def one_hot(labels: np.ndarray) -> np.ndarray:
    return (labels == np.unique(labels)[:, None, None]).astype(np.float32)


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Bright disks in noise."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((2, 150, 170))[1:]
    labels = np.zeros(rows.shape, np.uint16)
    for object_id, (y, x, radius) in enumerate([(40, 50, 30), (60, 110, 22), (120, 60, 17)], 1):
        labels[np.hypot(rows - y, columns - x) < radius] = object_id
    images = 1000 * (labels > 0) + rng.normal(300, 20, labels.shape)
    return Scene(images.astype(np.uint16), labels, exact=True)


def batch(scene: Scene, seed: int = 0) -> Outlines:
    rng = np.random.default_rng(seed)
    samples = [sample_outlines(rng, scene) for _ in range(4)]
    return Outlines(*(torch.stack(parts) for parts in zip(*samples, strict=True)))


def test_coarse_masks_are_near_the_truth_but_not_equal(scene: Scene) -> None:
    outlines = batch(scene)
    size = CANVAS_SIZE, CANVAS_SIZE
    assert outlines.images.shape == (4, 3, *size)
    assert outlines.own.shape == outlines.others.shape == (4, N_OBJECTS, *size)
    assert outlines.own.shape == outlines.truth.shape
    assert set(outlines.octaves.tolist()) <= {1.0, 2.0, 3.0}
    wrong = (outlines.own > 0.5) != (outlines.truth > 0.5)
    assert 0 < wrong.float().mean() < 0.1
    assert float((outlines.own + outlines.others).max()) < 1.4


def test_masks_as_they_are_given() -> None:
    planes = torch.from_numpy(one_hot(disks(CANVAS_SIZE)))
    rng, found = np.random.default_rng(0), []
    for _ in range(40):
        given = as_given(rng, planes, 4)
        torch.testing.assert_close(given.sum(0), torch.ones(CANVAS_SIZE, CANVAS_SIZE))
        found.append(float(((given > 0.5) != (planes > 0.5)).float().mean()))
    assert min(found) == 0  # never at a smaller scale
    assert 0.005 < max(found) < 0.1  # cells that belong to one object alone


@pytest.mark.parametrize(("shift", "radius"), [(1.6, 21), (0.0, 20), (-1.6, 18)])
def test_outlines_farther_out_or_in(shift: float, radius: int) -> None:
    class Told:
        """A source of numbers that are known beforehand."""

        def random(self) -> float:
            return 0.0

        def normal(self, mean: float, deviation: float) -> float:
            return shift

    labels = 5 * disk(64, 32, 32, 20).astype(np.uint16)
    moved = shift_outlines(Told(), labels)
    wanted = disk(64, 32, 32, radius)
    assert set(np.unique(moved)) == {0, 5}
    assert np.count_nonzero((moved > 0) != wanted) < 0.05 * np.count_nonzero(wanted)
    thin = np.zeros((64, 64), np.uint16)
    thin[30:32] = 3
    assert (shift_outlines(Told(), thin) == 3).any()


def test_the_network_sees_in_training_what_it_sees_in_use() -> None:
    labels = disks(CANVAS_SIZE)
    item = user_evidence(labels)[2]
    window = coarsen(item, labels.shape, 4)
    others = torch.zeros_like(window.coarse)
    subject = Subject(window, torch.ones_like(window.border), others)
    cells = torch.tensor([[30, 22], [17, 8], [9, 40]])
    known = subject.known(torch.zeros(len(cells)), cells, 4)
    whole = functional.avg_pool2d(torch.from_numpy(labels == 2)[None].float(), 4)
    points = (subject.places(cells, 4).flip(-1) / CANVAS_SIZE)[None]
    around = masks_around(enlarge(whole, 4), points, torch.tensor([[4 / CANVAS_SIZE]]))
    assert 0 < float(around.mean()) < 1
    torch.testing.assert_close(around, known.around)


def test_real_movies_are_mixed_in(scene: Scene, tmp_path: Path) -> None:
    speck = np.zeros_like(scene.labels)
    speck[:, 70:74, 80:84] = 1
    real = replace(scene, labels=speck, exact=False)
    recipe = RefinementTraining(out=tmp_path, batch_size=40, movie_share=0.4)

    def specks(scenes: list[Scene]) -> int:
        truth = OutlineStream(scenes, recipe, 0).batch(np.random.default_rng(0)).truth
        return int((truth.sum(dim=(2, 3)).amax(dim=1) < 100).sum())

    assert 8 < specks([scene, real]) < 32
    assert specks([scene]) < 4


def test_small_frames_are_filled_up() -> None:
    labels = np.zeros((1, 40, 200), np.uint16)
    labels[0, 10:20, 30:60] = 7
    outlines = sample_outlines(
        np.random.default_rng(0), Scene(np.ones_like(labels), labels, exact=True)
    )
    assert outlines.truth.shape == (N_OBJECTS, CANVAS_SIZE, CANVAS_SIZE)
    assert outlines.truth.any()


def test_the_network_begins_with_the_coarse_mask() -> None:
    network = RefinementNetwork()
    torch.nn.init.zeros_(network.head.predictor.weight)
    torch.nn.init.zeros_(network.head.predictor.bias)
    own, around = torch.rand(2, 50), torch.rand(2, NEIGHBOURHOOD**2, 50)
    known = Known(own, torch.zeros_like(own), own, torch.ones_like(own), around)
    logits = network(known, torch.randn(2, sum(network.widths), 50))
    torch.testing.assert_close(logits[:, 0] > 0, own > 0.5)


def test_steps_on_one_batch_make_borders_better_than_they_were(scene: Scene) -> None:
    torch.manual_seed(0)
    network, outlines = RefinementNetwork((8, 8, 8), 16), batch(scene)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for step in range(25):
        losses = compare(network, outlines, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
    assert losses.wrong < 0.6 * losses.wrong_before


def test_the_recipe_writes_weights_and_goes_on_where_it_was(tmp_path: Path, scene: Scene) -> None:
    (tmp_path / "scenes").mkdir()
    np.savez(tmp_path / "scenes" / "scene-001000.npz", images=scene.images, labels=scene.labels)
    recipe = RefinementTraining(out=tmp_path, scenes=1, minutes=0.02, batch_size=1)
    path = train(recipe)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["recipe"] == "napari-vos train refinement"
    assert card["steps"] > 0
    found = checkpoints.identify(path)
    assert (found.network, found.misfit) == ("refinement", "")
    lines: list[str] = []
    train(recipe, report=lines.append)
    assert lines[0].startswith(f"continuing at step {card['steps']}")

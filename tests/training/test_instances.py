from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from napari_vos import FrameStack, checkpoints
from napari_vos.engines import create_detector
from napari_vos.errors import NapariVosError
from napari_vos.networks.yolact import CELLS, Yolact
from napari_vos.training.fields import Fields
from napari_vos.training.instances import InstancesTraining, compare, loss_of, train
from napari_vos.training.yolact import (
    MaskComparison,
    YolactLoss,
    focal_loss,
    objectness_loss,
    sigmoid_focal_loss,
)


@pytest.fixture(scope="module")
def movie() -> tuple[np.ndarray, np.ndarray]:
    """Two frames of bright disks in noise."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((2, 120, 120))[1:]
    labels = np.zeros(rows.shape, np.uint16)
    for object_id, (y, x, radius) in enumerate([(40, 50, 15), (60, 90, 12), (90, 30, 17)], 1):
        labels[np.hypot(rows - y, columns - x) < radius] = object_id
    images = 1000 * (labels > 0) + rng.normal(300, 20, labels.shape)
    return images.astype(np.uint16), labels


@pytest.fixture(scope="module")
def disks() -> Fields:
    """One field with two disks, large enough to be judged."""
    return field_of(128)


def field_of(side: int) -> Fields:
    scale = side / 64
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    labels = torch.zeros(1, side, side, dtype=torch.int32)
    for label, (y, x) in enumerate([(16, 16), (44, 40)], 1):
        labels[0][torch.hypot(rows - scale * y, columns - scale * x) < 10 * scale] = label
    return Fields((labels > 0).float()[:, None].expand(-1, 3, -1, -1).contiguous(), labels)


def test_steps_on_one_batch_lower_all_losses() -> None:
    torch.manual_seed(0)
    batch = field_of(64)
    network = Yolact(CELLS, n_classes=2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    found = []
    for step in range(15):
        losses = compare(network, batch, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        found.append(losses)
    for name in ("boxes", "classes", "masks", "semantics"):
        first, last = (float(getattr(losses, name).detach()) for losses in (found[0], found[-1]))
        assert last < 0.8 * first, name


def test_the_recipe_writes_weights_that_load(
    tmp_path: Path, movie: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = movie
    (tmp_path / "scenes").mkdir()
    np.savez(tmp_path / "scenes" / "scene-001000.npz", images=images, labels=labels)
    real = tmp_path / "real"
    real.mkdir()
    for name, stack in (("images", images), ("labels", labels)):
        tifffile.imwrite(real / f"{name}.tif", stack, photometric="minisblack")
    (real / "meta.json").write_text(json.dumps({"annotated_frames": [1]}))
    recipe = InstancesTraining(
        out=tmp_path, scenes=1, movies=(real,), movie_share=0.5, minutes=0.01, batch_size=1
    )
    path = train(recipe)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["recipe"] == "napari-vos train instances"
    assert card["data"] == "1 simulated movies; real"
    assert card["steps"] > 0
    found = checkpoints.identify(path)
    assert (found.network, found.misfit) == ("cells", "")
    assert path.stat().st_size < 12e6
    lines: list[str] = []
    train(recipe, report=lines.append)
    assert lines[0].startswith(f"continuing at step {card['steps']}")
    # With published options, which go along with the weights.
    design = replace(CELLS, predicts_existence=True, scores_masks=True, mask_activation="tanh")
    loss = YolactLoss(diversity_weight=1)
    path = train(replace(recipe, out=tmp_path / "options", scenes=0, design=design, loss=loss))
    loaded = checkpoints.load_network("cells", path)
    assert isinstance(loaded, Yolact)
    assert loaded.design == design
    frames = FrameStack(images)
    detector = create_detector("cells", frames, weights=path, device="cpu")
    assert detector.detect(0).instances(score=0, overlap=0.5).labels.shape == frames.shape


def test_published_options_are_learned(disks: Fields) -> None:
    torch.manual_seed(0)
    plain = compare(Yolact(CELLS, n_classes=2), disks, torch.Generator())
    assert plain.existence == plain.mask_ious == plain.diversity == 0
    design = replace(CELLS, predicts_existence=True, scores_masks=True, mask_activation="tanh")
    network = Yolact(design, n_classes=2)
    losses = compare(network, disks, torch.Generator(), YolactLoss(diversity_weight=1))
    assert min(losses.existence, losses.mask_ious, losses.diversity) > 0
    losses.total.backward()
    assert network.class_existence_fc.weight.grad.any()
    assert all(value.grad is not None for value in network.maskiou_net.parameters())


def test_the_design_says_which_loss_is_its_own(disks: Fields) -> None:
    design = replace(CELLS, mask_activation="tanh", class_scores="objectness")
    fitting = loss_of(design, YolactLoss(judged_cap=3))
    assert fitting.masks.activation is torch.tanh
    assert fitting.class_loss is objectness_loss
    assert fitting.judged_cap == 3
    assert loss_of(CELLS, YolactLoss(class_loss=focal_loss)).class_loss is focal_loss
    torch.manual_seed(0)
    network = Yolact(design, n_classes=2)
    own = compare(network, disks, torch.Generator().manual_seed(0))
    network.design = CELLS
    other = compare(network, disks, torch.Generator().manual_seed(0))
    assert own.classes != other.classes
    assert own.masks != other.masks


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"design": replace(CELLS, direct_masks=8)}, "direct_masks is 8"),
        ({"loss": YolactLoss(class_loss=sigmoid_focal_loss)}, "class_scores 'softmax'"),
        ({"loss": YolactLoss(masks=MaskComparison(activation=torch.tanh))}, "'sigmoid'"),
    ],
)
def test_recipes_whose_weights_could_not_be_used(options: dict[str, Any], told: str) -> None:
    with pytest.raises(NapariVosError, match=told):
        InstancesTraining(out=Path("away"), **options)

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from napari_vos import checkpoints
from napari_vos.networks.yolact import CELLS, Yolact
from napari_vos.training.fields import Fields
from napari_vos.training.instances import InstancesTraining, compare, train


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


def test_steps_on_one_batch_lower_all_losses() -> None:
    torch.manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    labels = torch.zeros(1, 64, 64, dtype=torch.int32)
    for label, (y, x) in enumerate([(16, 16), (44, 40)], 1):
        labels[0][torch.hypot(rows - y, columns - x) < 10] = label
    batch = Fields((labels > 0).float()[:, None].expand(-1, 3, -1, -1).contiguous(), labels)
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

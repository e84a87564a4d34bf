"""Training on annotated frames: two steps on a small movie."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_vos import FrameStack, checkpoints
from napari_vos.engines.cells import OBJECT_DIAMETER, OVERLAP, SIDE
from napari_vos.errors import StoreError, WeightsError
from napari_vos.metrics import InstanceScores
from napari_vos.networks.yolact import CELLS, Yolact
from napari_vos.training import own_cells
from napari_vos.training.loop import Learner
from napari_vos.training.own_cells import OwnCellsTraining, Progress, learn, train
from napari_vos.training.own_labels import AnnotatedFrames, gather
from napari_vos.training.yolact import Losses


@pytest.fixture
def known() -> AnnotatedFrames:
    """Three frames of bright disks in noise."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((3, 60, 70))[1:]
    labels = np.zeros(rows.shape, np.uint16)
    for label, (y, x) in enumerate([(15, 20), (40, 50)], 1):
        labels[np.hypot(rows - y, columns - x) < 10] = label
    images = 1000 * (labels > 0) + rng.normal(300, 20, labels.shape)
    return gather(FrameStack(images.astype(np.uint16), name="folder/cells.tif"), labels)


@pytest.fixture
def start(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    path = tmp_path / "start.safetensors"
    save_file(Yolact(CELLS, n_classes=2).state_dict(), path)
    return path


def scores(hits: int) -> InstanceScores:
    return InstanceScores((hits,) * 10, 4, 4, 1, hits, hits, 4)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch):
    """Judge by given scores, at every step, instead of searching."""

    def told(*hits: int) -> None:
        found = iter(hits)
        monkeypatch.setattr(AnnotatedFrames, "score", lambda *_, **__: scores(next(found)))
        monkeypatch.setattr(own_cells, "CHECKS", 1e9)

    return told


def test_a_step_changes_the_weights_and_they_are_judged(
    tmp_path: Path, known: AnnotatedFrames, start: Path
) -> None:
    recipe = OwnCellsTraining(tmp_path / "out", start_from=start, minutes=1e-4, batch_size=1)
    lines: list[str] = []
    last = train(known, recipe, report=lines.append)
    assert last.step == 1
    assert last.loss > 0
    assert last.scores is not None
    assert last.diameter == pytest.approx(20, abs=1)
    assert len(lines) == 2
    assert "step 0  AP50" in lines[0]
    assert lines[0].endswith("kept")
    found = checkpoints.identify(last.path)
    assert (found.network, found.misfit) == ("cells", "")
    kept = torch.load(recipe.out / "checkpoint.pt", weights_only=True)
    before = checkpoints.load_network("cells", start).state_dict()
    assert not torch.equal(
        kept["network"]["backbone.conv1.weight"], before["backbone.conv1.weight"]
    )
    assert [minutes for minutes, _ in kept["history"]["AP50"]] == pytest.approx([0, last.minutes])
    assert (recipe.out / "progress.png").is_file()
    card = json.loads(last.path.with_suffix(".json").read_text())
    assert card["data"] == "3 annotated frames of cells.tif"
    assert card["recipe"] == "napari-vos train labels"
    assert card["diameter"] == pytest.approx(last.diameter, abs=0.01)


def test_tiles_share_as_much_as_long_cells_need(tmp_path: Path, start: Path, told) -> None:
    told(1, 2)
    labels = np.zeros((2, 80, 100), np.uint16)
    labels[:, 20:26, 10:90] = 1
    labels[:, 60:66, 10:90] = 2
    known = gather(FrameStack(1000 * labels), labels)
    recipe = OwnCellsTraining(tmp_path / "out", start_from=start, minutes=10, batch_size=1)
    diameter = next(learn(known, recipe)).diameter
    assert diameter > known.diameter
    shared = diameter * SIDE / OBJECT_DIAMETER * OVERLAP
    assert shared == pytest.approx(80)


def test_the_best_weights_stay_and_training_ends_without_gain(
    tmp_path: Path, known: AnnotatedFrames, start: Path, told
) -> None:
    told(1, 3, 2, 1, 0, 1, 1, 0, 4)
    recipe = OwnCellsTraining(tmp_path / "out", start_from=start, minutes=10, batch_size=1)
    seen: list[Progress] = []
    files = []
    for progress in learn(known, recipe):
        seen.append(progress)
        files.append(progress.path.read_bytes())
    assert [each.scores.hits[0] for each in seen] == [1, 3, 2, 1, 0, 1, 1, 0]
    # Two held-out cells can't tell 2 from 3.
    assert (seen[-1].before, seen[-1].best) == (scores(1), scores(2))
    assert len(set(files)) == 3
    assert len(set(files[2:])) == 1
    card = json.loads(seen[-1].path.with_suffix(".json").read_text())
    assert (card["steps"], card["held_out_AP50"]) == (2, 0.333)


def test_a_stopped_training_goes_on(
    tmp_path: Path, known: AnnotatedFrames, start: Path, told
) -> None:
    told(0, 4, 1)
    recipe = OwnCellsTraining(tmp_path / "out", start_from=start, minutes=10, batch_size=1)
    for progress in itertools.islice(learn(known, recipe), 2):
        stopped = progress
    again = next(learn(known, recipe))
    assert again.step == stopped.step == 1
    assert again.minutes >= stopped.minutes
    assert (again.before, again.best) == (scores(0), scores(4))
    assert again.scores == scores(1)


def test_a_training_on_other_masks_is_not_gone_on_with(
    tmp_path: Path, known: AnnotatedFrames, start: Path, told
) -> None:
    told(0)
    recipe = OwnCellsTraining(tmp_path / "out", start_from=start, minutes=10, batch_size=1)
    next(learn(known, recipe))
    fewer = AnnotatedFrames(known.frames, {t: known.labels(t) for t in known.filled[1:]})
    with pytest.raises(StoreError, match=r"out' holds a training on other images or masks"):
        next(learn(fewer, recipe))


@pytest.mark.parametrize("other", [b"no checkpoint", b""])
def test_a_checkpoint_that_is_damaged(
    tmp_path: Path, known: AnnotatedFrames, start: Path, other: bytes
) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(other)
    with pytest.raises(StoreError, match=r"checkpoint\.pt' can't be gone on with"):
        next(learn(known, OwnCellsTraining(tmp_path, start_from=start)))


def test_a_checkpoint_of_another_network(
    tmp_path: Path, known: AnnotatedFrames, start: Path
) -> None:
    Learner(torch.nn.Linear(2, 2), 0.1).save(tmp_path / "checkpoint.pt")
    with pytest.raises(StoreError, match="of another training"):
        next(learn(known, OwnCellsTraining(tmp_path, start_from=start)))


def test_a_loss_that_is_not_finite_ends_it(
    tmp_path: Path, known: AnnotatedFrames, start: Path, told, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(1, 2)
    broken = Losses(*[torch.tensor(torch.nan)] * len(Losses._fields))
    monkeypatch.setattr(own_cells, "compare", lambda *_: broken)
    recipe = OwnCellsTraining(tmp_path / "out", start_from=start, minutes=10, batch_size=1)
    [only] = learn(known, recipe)
    assert (only.step, only.best) == (0, scores(1))
    assert checkpoints.identify(only.path).fits


def test_weights_of_another_network_are_refused(tmp_path: Path, known: AnnotatedFrames) -> None:
    compact = checkpoints.resolve("compact", "compact")
    with pytest.raises(WeightsError, match="network compact, and those of cells are wanted"):
        next(learn(known, OwnCellsTraining(tmp_path, start_from=compact)))

from __future__ import annotations

import math
from itertools import count
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch import nn

from napari_vos import FrameStack
from napari_vos.errors import DeviceError, FramesError
from napari_vos.training.adapt import COMPARE_EVERY, Adaptation, check_frames


class Points(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor


class Fit(NamedTuple):
    distance: torch.Tensor

    @property
    def total(self) -> torch.Tensor:
        return self.distance


class LineLessons:
    """A line of slope 2 to learn; from some step on, what `spoil` makes of the losses."""

    name = "line"
    learning_rate = 0.05
    batch_size = 4
    clip_bytes = 1
    share = 1.0

    def __init__(self, spoil: Any = None, after: int = 10**9) -> None:
        self.network = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
        for value in self.network.parameters():
            nn.init.constant_(value, 1.0)
        self.spoil, self.after, self.sizes, self.steps = spoil, after, set[int](), 0

    def batch(self, rng: np.random.Generator, size: int) -> Points:
        self.sizes.add(size)
        x = torch.from_numpy(rng.standard_normal((size, 1)).astype(np.float32))
        return Points(x, 2 * x)

    def losses(self, network: Any, batch: Points, generator: torch.Generator) -> Fit:
        self.steps += 1
        distance = (network(batch.x) - batch.y).square().mean()
        return Fit(self.spoil(distance) if self.steps > self.after else distance)


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes a second."""
    clock = SimpleNamespace(monotonic=count().__next__)
    monkeypatch.setattr("napari_vos.training.adapt.time", clock)


def run(adaptation: Adaptation, n_steps: int = 10**9) -> list[Any]:
    seen = []
    steps = adaptation.run()
    for progress in steps:
        seen.append(progress)
        if progress.step == n_steps:
            steps.close()
            break
    return seen


def test_the_best_weights_are_kept_and_statistics_stay() -> None:
    lessons = LineLessons()
    adaptation = Adaptation(lessons, minutes=2)
    seen = run(adaptation)
    losses = [progress.loss for progress in seen if progress.loss is not None]
    assert [p.step for p in seen] == list(range(121))
    assert (seen[0].share, seen[-1].share) == (0.0, 1.0)
    assert losses[0] == adaptation.start_loss
    assert min(losses) == adaptation.loss < adaptation.start_loss / 2
    assert adaptation.improved
    assert not adaptation.diverged
    kept = load(adaptation.weights())
    assert kept["0.weight"].dtype == torch.float16
    assert float(kept["1.running_mean"]) == 0
    assert float(kept["0.weight"]) != 1


def test_only_some_steps_compare() -> None:
    compared = [p.step for p in run(Adaptation(LineLessons(), minutes=9), 25) if p.loss is not None]
    assert compared == [0, COMPARE_EVERY, 2 * COMPARE_EVERY]


def test_closed_in_the_middle_it_keeps_what_was_best() -> None:
    adaptation = Adaptation(LineLessons(), minutes=60)
    losses = [p.loss for p in run(adaptation, 3 * COMPARE_EVERY) if p.loss is not None]
    assert adaptation.step == 3 * COMPARE_EVERY
    assert adaptation.loss == min(losses)
    assert adaptation.improved


@pytest.mark.parametrize(
    "spoil", [lambda loss: loss * math.nan, lambda loss: 1000 * loss + 1000], ids=["nan", "large"]
)
def test_a_loss_that_runs_away_is_noticed_and_taken_back(spoil: Any) -> None:
    good = Adaptation(LineLessons(), minutes=60)
    run(good, 2 * COMPARE_EVERY)
    adaptation = Adaptation(LineLessons(spoil, after=2 * COMPARE_EVERY + 8), minutes=60)
    run(adaptation)
    assert adaptation.diverged
    assert adaptation.loss == good.loss
    assert adaptation.weights() == good.weights()


def test_a_start_without_a_loss_is_no_start() -> None:
    adaptation = Adaptation(LineLessons(lambda loss: loss * math.nan, after=0), minutes=60)
    assert run(adaptation) == []
    assert adaptation.diverged
    assert not adaptation.improved


def test_no_time_is_no_harm() -> None:
    adaptation = Adaptation(LineLessons(), minutes=0)
    assert [p.share for p in run(adaptation)] == [0.0, 1.0]


def test_short_memory_makes_small_batches_and_none_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lessons = LineLessons()
    lessons.clip_bytes = 100
    monkeypatch.setattr("napari_vos.training.adapt.free_memory", lambda device: 250)
    run(Adaptation(lessons, minutes=0))
    assert lessons.sizes == {2}
    monkeypatch.setattr("napari_vos.training.adapt.free_memory", lambda device: 99)
    with pytest.raises(DeviceError, match="0 MB are free"):
        Adaptation(lessons, minutes=0)


def test_memory_that_runs_out_on_the_way_is_told() -> None:
    def spoil(loss: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    adaptation = Adaptation(LineLessons(spoil, after=2 * COMPARE_EVERY + 6), minutes=60)
    with pytest.raises(DeviceError, match="Memory ran out in step"):
        run(adaptation)
    assert adaptation.improved


def test_frames_with_nothing_to_learn_are_refused() -> None:
    for images, message in (
        (np.zeros((1, 8, 8)), "'s' has one frame alone"),
        (np.full((4, 8, 8), 7), "constant"),
    ):
        with pytest.raises(FramesError, match=message):
            check_frames(FrameStack(images, axes="TYX", name="s"))


def test_adapted_weights_go_part_of_the_way() -> None:
    way = {}
    for share in (1.0, 0.5):
        lessons = LineLessons()
        lessons.share = share
        adaptation = Adaptation(lessons, minutes=60)
        run(adaptation, 2 * COMPARE_EVERY)
        way[share] = load(adaptation.weights())["0.weight"].item() - 1
    assert abs(way[1.0]) > 0.05
    assert way[0.5] == pytest.approx(way[1.0] / 2, rel=0.05)

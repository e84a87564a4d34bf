from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy import ndimage

from napari_vos import FrameStack
from napari_vos.errors import FramesError
from napari_vos.networks.mast import MastSmall
from napari_vos.training.adapt import Adaptation
from napari_vos.training.adapt_mast import MastLessons


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("mast") / "mast_small.safetensors"
    save_file(MastSmall().state_dict(), path)
    return path


def stack(n_frames: int, *shape: int) -> FrameStack:
    """A texture that moves by two pixels a frame."""
    height, width = shape
    ground = np.random.default_rng(0).standard_normal((height, width + 2 * n_frames))
    ground = ndimage.gaussian_filter(ground, 2, mode="wrap")
    frames = [ground[:, 2 * t : 2 * t + width] for t in range(n_frames)]
    return FrameStack((20000 + 60000 * np.stack(frames)).astype(np.uint16), axes="TYX", name="s")


@pytest.mark.parametrize(
    ("n_frames", "shape"), [(6, (40, 48)), (2, (40, 48)), (3, (7, 30))], ids=str
)
def test_it_learns_from_short_and_small_stacks(
    weights: Path, n_frames: int, shape: tuple[int, int]
) -> None:
    adaptation = Adaptation(MastLessons(stack(n_frames, *shape), weights), minutes=60)
    steps = adaptation.run()
    seen = [next(steps) for _ in range(12)]
    steps.close()
    assert seen[-1].step == 11
    assert np.isfinite([p.loss for p in seen if p.loss is not None]).all()
    assert not adaptation.diverged


def test_the_loss_falls_on_the_stack(weights: Path) -> None:
    lessons = MastLessons(stack(8, 48, 48), weights)
    lessons.learning_rate = 1e-3
    adaptation = Adaptation(lessons, minutes=60)
    steps = adaptation.run()
    while next(steps).step < 30:
        pass
    steps.close()
    assert adaptation.loss < 0.98 * adaptation.start_loss


def test_one_frame_and_constant_ones_are_refused(weights: Path) -> None:
    with pytest.raises(FramesError, match="'s' has one frame alone"):
        MastLessons(stack(1, 40, 48), weights)
    with pytest.raises(FramesError, match="constant"):
        MastLessons(FrameStack(np.full((4, 40, 48), 7), axes="TYX"), weights)

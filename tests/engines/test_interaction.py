from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_vos import FrameStack
from napari_vos.checkpoints import sha256_of
from napari_vos.configs import InteractionConfig
from napari_vos.engines import create_interactor
from napari_vos.engines.interaction import CompactInteractor, better_place
from napari_vos.engines.places import Place
from napari_vos.engines.windows import WINDOW_SIZE
from napari_vos.networks.interaction import InteractionNetwork
from napari_vos.prompts import box_prompt, draw, point_prompt, scribble_prompt

SHAPE = (200, 240)
NOTHING = np.zeros(SHAPE, np.uint16)


def disc(row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.indices(SHAPE)
    return np.hypot(rows - row, columns - column) <= radius


SMALL, LARGE, FAR = disc(40, 40, 6), disc(110, 110, 55), disc(40, 62, 8)
BRIGHT = SMALL | LARGE | FAR


class Likeness(torch.nn.Module):
    """Takes all that is as bright as under the strokes, or in the box, for the object."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[torch.Tensor, ...]] = []

    def forward(self, image: torch.Tensor, *maps: torch.Tensor) -> torch.Tensor:
        self.seen.append((image, *maps))
        inside, box = maps[2], maps[4]
        marked = inside + box * (1 - inside.amax(dim=(1, 2, 3), keepdim=True))
        grey = image[:, :1]
        level = (grey * marked).sum((1, 2, 3), True) / marked.sum((1, 2, 3), True)
        return 20 * ((grey - level).abs() < 1.5).float() - 10


@pytest.fixture
def interactor() -> CompactInteractor:
    noise = np.random.default_rng(0).normal(0, 0.02, (1, *SHAPE))
    frames = FrameStack((noise + BRIGHT).astype(np.float32), axes="TYX")
    cpu = torch.device("cpu")
    return CompactInteractor(
        frames, InteractionConfig(), Likeness(), cpu, torch.float32, {"interactor": "compact"}
    )


def overlap(labels: np.ndarray, mask: np.ndarray, object_id: int = 3) -> float:
    return float(((labels == object_id) & mask).sum() / ((labels == object_id) | mask).sum())


@pytest.mark.parametrize(
    ("prompt", "truth"),
    [
        (point_prompt(0, 3, (40, 40)), SMALL),
        (point_prompt(0, 3, (110, 110)), LARGE),
        (scribble_prompt(0, 3, [(110, 70), (110, 90)]), LARGE),
        (box_prompt(0, 3, (34, 34, 46, 46)), SMALL),
    ],
    ids=["small", "large", "off the middle", "box"],
)
def test_objects_of_any_size_from_one_prompt(interactor, prompt, truth) -> None:
    labels = interactor.segment(draw([prompt], SHAPE), NOTHING)
    assert labels.dtype == np.uint16
    assert set(np.unique(labels)) == {0, 3}
    assert overlap(labels, truth) > 0.85


def test_a_box_is_looked_at_once_and_a_click_until_the_window_fits(interactor) -> None:
    interactor.segment(draw([box_prompt(0, 3, (34, 34, 46, 46))], SHAPE), NOTHING)
    assert len(interactor.network.seen) == 1
    box = interactor.network.seen[0][5]
    assert 0.1 < box.mean() < 0.3
    interactor.network.seen.clear()
    interactor.segment(draw([point_prompt(0, 3, (110, 110))], SHAPE), NOTHING)
    assert 1 < len(interactor.network.seen) <= 4


def test_all_objects_and_their_mirror_images_are_one_batch_and_compete(interactor) -> None:
    prompts = [point_prompt(0, 3, (40, 40)), point_prompt(0, 9, (40, 62))]
    labels = interactor.segment(draw(prompts, SHAPE), NOTHING)
    for part in interactor.network.seen[0]:
        assert len(part) == 4
        torch.testing.assert_close(part[2:], part[:2].flip(-1))
    assert overlap(labels, SMALL, 3) > 0.85
    assert overlap(labels, FAR, 9) > 0.85


def test_the_network_sees_strokes_the_previous_mask_and_others(interactor) -> None:
    previous = np.where(SMALL, 3, np.where(FAR, 9, 0)).astype(np.uint16)
    prompts = [
        scribble_prompt(0, 3, [(38, 38), (42, 42)]),
        point_prompt(0, 3, (46, 48), positive=False),
    ]
    labels = interactor.segment(draw(prompts, SHAPE), previous)
    assert set(np.unique(labels)) == {0, 3}
    assert not (labels[FAR] == 3).any()
    _, mask, others, inside, outside, box = interactor.network.seen[0]
    middle = WINDOW_SIZE // 2
    assert mask[0, 0, middle, middle] == 1
    assert inside[0, 0, middle, middle] == 1
    assert others.max() > 0.9
    assert outside.sum() > 0
    assert not (inside * outside).any()
    assert not box.any()


def test_the_frame_s_border_shows(interactor) -> None:
    interactor.segment(draw([point_prompt(0, 3, (5, 5))], SHAPE), NOTHING)
    image, _, others, *_ = interactor.network.seen[0]
    assert others[0, 0, 0, 0] == -1
    assert not image[0, :, 0, 0].any()


def test_local_mode_changes_the_surroundings_of_strokes_alone(interactor) -> None:
    previous = np.zeros(SHAPE, np.uint16)
    previous[LARGE & (np.indices(SHAPE)[1] < 150)] = 3
    previous[108:112, 30:56] = 3  # too much, far from the stroke
    drawing = draw([scribble_prompt(0, 3, [(105, 156), (115, 156)])], SHAPE)
    labels = interactor.segment(drawing, previous)
    assert not (labels[108:112, 30:50] == 3).any()
    local = replace(interactor, config=InteractionConfig(local=True)).segment(drawing, previous)
    assert (local[108:112, 30:56] == 3).all()
    assert (local[105:115, 156] == 3).all()


def test_a_window_that_fits_is_kept() -> None:
    probability = torch.zeros(1, WINDOW_SIZE, WINDOW_SIZE)
    probability[:, 13:83, 13:83] = 1
    assert better_place(Place(100, 100, 96.0), probability, SHAPE) is None
    assert better_place(Place(100, 100, 96.0), 0 * probability, SHAPE) is None
    probability[:, 40:60] = 1
    wider = better_place(Place(100, 100, 96.0), probability, SHAPE)
    assert wider is not None
    assert wider.side > 180


def test_the_weights_are_noted_in_the_plan(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_file(InteractionNetwork().state_dict(), path)
    frames = FrameStack(np.random.default_rng(0).random((1, 64, 64), np.float32), axes="TYX")
    made = create_interactor("compact", frames, weights=path, device="cpu")
    assert made.plan["weights_sha256"] == sha256_of(path)
    labels = made.segment(draw([point_prompt(0, 3, (30, 30))], (64, 64)), NOTHING[:64, :64])
    assert set(np.unique(labels)) <= {0, 3}

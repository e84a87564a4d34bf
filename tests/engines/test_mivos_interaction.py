"""Scribbles to masks with MiVOS: the official numbers, and what local mode leaves alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_vos import FrameStack
from napari_vos.configs import MivosInteractionConfig
from napari_vos.engines import create_interactor
from napari_vos.engines.mivos_interaction import MivosInteractor
from napari_vos.errors import PromptError, WeightsError
from napari_vos.networks.mivos import ScribbleToMaskNetwork, aggregate
from napari_vos.networks.padding import Padding
from napari_vos.prompts import Drawing, box_prompt, draw, point_prompt, scribble_prompt
from tests.golden import assert_near, fill, golden_arrays

NOT_DRAWN = 255


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return {key: array.numpy() for key, array in golden_arrays("mivos_s2m").items()}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with torch.device("meta"):
        network = ScribbleToMaskNetwork()
    path = tmp_path_factory.mktemp("weights") / "s2m.safetensors"
    save_file(fill(network, "mivos_s2m"), path)
    return path


@pytest.fixture(scope="module")
def interactor(golden: dict[str, np.ndarray], weights: Path) -> MivosInteractor:
    frames = FrameStack(golden["ctrl_image_u8"][None], axes="TYXS")
    return MivosInteractor.create(frames, weights=weights)


@pytest.fixture(scope="module")
def drawing(golden: dict[str, np.ndarray]) -> Drawing:
    """The official strokes, row by row; those on the background are negative for both objects."""
    strokes = golden["ctrl_scribble"]
    prompts = []
    for drawn in np.unique(strokes[strokes != NOT_DRAWN]):
        lines = [[(y, x)] for y, x in np.argwhere(strokes == drawn)]
        for object_id in (1, 2) if drawn == 0 else (int(drawn),):
            prompts.append(scribble_prompt(0, object_id, lines, width=1, positive=drawn > 0))
    return draw(prompts, strokes.shape)


def test_official_probabilities(interactor, golden, drawing) -> None:
    found = interactor.probabilities(drawing, golden["ctrl_prev_mask"].astype(np.uint16))
    expected = torch.from_numpy(golden["ctrl_prob"])
    trimmed = Padding.to_multiple(16, drawing.positive.shape).remove(expected)
    assert_near(found, trimmed, 2e-4)


def test_official_labels(interactor, golden, drawing) -> None:
    labels = interactor.segment(drawing, golden["ctrl_prev_mask"].astype(np.uint16))
    padding = Padding.to_multiple(16, drawing.positive.shape)
    expected = padding.remove(torch.from_numpy(golden["ctrl_aggregated"])).argmax(dim=0)[0]
    assert labels.dtype == np.uint16
    assert (labels != expected.numpy()).mean() < 1e-3


def test_clicks_compete_with_a_static_background(interactor, golden) -> None:
    previous = golden["ctrl_prev_mask"].astype(np.uint16)
    clicks = draw([point_prompt(0, 1, (40, 50)), point_prompt(0, 2, (70, 90))], previous.shape)
    alone = interactor.probabilities(clicks, previous)
    competing = aggregate(alone, static_background=True, hard=True).argmax(dim=0)[0]
    assert np.array_equal(interactor.segment(clicks, previous), competing.numpy())
    strokes = draw([*clicks.prompts, scribble_prompt(0, 1, [(40, 50)], width=1)], previous.shape)
    competing = aggregate(alone, hard=True).argmax(dim=0)[0]
    assert np.array_equal(interactor.segment(strokes, previous), competing.numpy())


def test_a_painted_mask_is_left_as_it_is_by_its_aggregation() -> None:
    masks = torch.rand(1, 8, 9).round()[None].repeat(2, 1, 1, 1)
    masks[1] = 1 - masks[0]
    assert_near(aggregate(masks, static_background=True)[1:], masks, 1e-6)


def test_others_keep_their_pixels(interactor, golden) -> None:
    previous = np.full(golden["ctrl_prev_mask"].shape, 5, np.uint16)
    previous[20:80, 30:110] = 1
    strokes = scribble_prompt(0, 1, [(40, 50), (60, 90)])
    labels = interactor.segment(draw([strokes], previous.shape), previous)
    assert set(np.unique(labels)) <= {0, 1}
    assert not labels[previous == 5].any()


def test_in_local_mode_masks_change_around_strokes_alone(weights) -> None:
    images = np.random.default_rng(0).integers(0, 255, (1, 96, 400, 3), dtype=np.uint8)
    frames = FrameStack(images, axes="TYXS")
    config = MivosInteractionConfig(local=True)
    local = create_interactor("mivos", frames, config=config, weights=weights)
    assert isinstance(local, MivosInteractor)
    previous = np.zeros((96, 400), np.uint16)
    previous[10:90, 10:390:20] = 1
    drawing = draw([scribble_prompt(0, 1, [(48, 40), (48, 60)], positive=False)], previous.shape)
    labels = local.segment(drawing, previous)
    assert np.array_equal(labels[:, 130:], previous[:, 130:])
    assert not np.array_equal(labels[:, :130], previous[:, :130])
    cut = FrameStack(images[:, :, :126], axes="TYXS")
    whole = MivosInteractor(cut, MivosInteractionConfig(), local.network, {})
    seen = whole.probabilities(draw(drawing.prompts, (96, 126)), previous[:, :126])
    assert_near(local.probabilities(drawing, previous)[..., :126], seen, 1e-5)


def test_boxes_are_refused(interactor) -> None:
    drawing = draw([box_prompt(0, 7, (10, 10, 40, 40))], (100, 131))
    with pytest.raises(PromptError, match="object 7 on frame 0 has a box"):
        interactor.segment(drawing, np.zeros((100, 131), np.uint16))


def test_weights_have_to_be_named(golden, tmp_path) -> None:
    frames = FrameStack(golden["ctrl_image_u8"][None], axes="TYXS")
    with pytest.raises(WeightsError, match="'random_walker' needs none"):
        create_interactor("mivos", frames)
    other = tmp_path / "fusion.safetensors"
    save_file({"final_conv.bias": torch.zeros(1)}, other)
    with pytest.raises(WeightsError, match="mivos_fusion"):
        create_interactor("mivos", frames, weights=other)

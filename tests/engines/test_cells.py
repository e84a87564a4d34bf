from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_vos import FrameStack, checkpoints
from napari_vos.configs import CellsConfig
from napari_vos.engines import create_detector
from napari_vos.engines.cells import SIDE, CellDetector, cut, show
from napari_vos.engines.tiles import Tile
from napari_vos.errors import NapariVosError, WeightsError
from napari_vos.networks.yolact import CELLS, Yolact


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights as the recipe writes it."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "cells.safetensors"
    state = Yolact(CELLS, n_classes=2).state_dict()
    save_file({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, path)
    return path


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights for which all is background."""
    network = Yolact(CELLS, n_classes=2)
    bias = network.prediction_layers[0].conf_layer.bias
    torch.nn.init.zeros_(network.prediction_layers[0].conf_layer.weight)
    bias.data = torch.tensor([10.0, -10.0]).repeat(len(bias) // 2)
    path = tmp_path_factory.mktemp("weights") / "cells.safetensors"
    save_file(network.state_dict(), path)
    return path


@pytest.fixture
def frames() -> FrameStack:
    random = np.random.default_rng(0)
    return FrameStack(random.integers(0, 4000, (2, 90, 300), dtype=np.uint16))


def test_the_file_is_small_and_known(weights: Path) -> None:
    assert weights.stat().st_size < 12e6
    found = checkpoints.identify(weights)
    assert (found.network, found.misfit) == ("cells", "")


def test_levels_and_priors_fit_cells() -> None:
    with torch.inference_mode():
        predicted = Yolact(CELLS, n_classes=2).eval()(torch.zeros(1, 3, 64, 64))
    n_positions = sum(side**2 for side in (16, 8, 4, 2, 1))
    assert predicted.boxes.shape == (1, 6 * n_positions, 4)
    assert predicted.prototypes.shape == (1, 32, 32, 32)
    assert predicted.semantic_logits.shape == (1, 1, 16, 16)
    sides = 64 * predicted.priors[:, 2:].prod(dim=1).sqrt()
    assert float(sides.min()) == pytest.approx(8)
    assert float(sides.max()) > 150


def test_a_frame_wider_than_the_network_sees(frames: FrameStack, weights: Path) -> None:
    detector = create_detector("cells", frames, weights=weights, device="cpu")
    raw = detector.detect(1)
    assert len(raw.tiles) == 2
    assert raw.nbytes >= 2 * 2 * 32 * (SIDE // 2) ** 2
    found = raw.instances(score=0.05, overlap=0.5)
    assert found.labels.shape == (90, 300)
    assert np.unique(found.labels[found.labels > 0]).tolist() == list(
        range(1, len(found.scores) + 1)
    )
    assert not raw.instances(score=0.9999, overlap=0.5).labels.any()
    assert detector.plan["config"] == {"diameter": None, "max_instances": 500}


@pytest.mark.parametrize("shape", [(1, 2), (3, 700)])
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_nothing_is_kept_of_frames_without_objects(
    shape: tuple[int, int], value: float, nothing: Path
) -> None:
    frames = FrameStack(np.full((2, *shape), value, np.float32))
    raw = create_detector("cells", frames, weights=nothing, device="cpu").detect(0)
    assert raw.nbytes == 0
    found = raw.instances(score=0.05, overlap=0.5)
    assert not found.labels.any()
    assert found.labels.shape == shape
    assert found.boxes.shape == (0, 4)


def test_floats_are_seen_as_integers_are(weights: Path) -> None:
    images = np.random.default_rng(0).integers(0, 65535, (2, 60, 60), dtype=np.uint16)
    found = [
        create_detector("cells", FrameStack(stack), weights=weights, device="cpu").detect(0)
        for stack in (images, images.astype(np.float32) / 256)
    ]
    first, second = (raw.instances(score=0.1, overlap=0.5) for raw in found)
    assert first.labels.any()
    assert (first.labels != second.labels).mean() < 0.001


def test_thousands_of_candidates(weights: Path, frames: FrameStack) -> None:
    config = CellsConfig(max_instances=20)
    detector = create_detector("cells", frames, weights=weights, config=config, device="cpu")
    raw = detector.detect(0)
    assert sum(len(seen.candidates.scores) for seen in raw.seen) > 10_000
    assert 0 < len(raw.instances(score=0, overlap=1).scores) <= 40


def test_the_typical_diameter_sets_the_scale(frames: FrameStack, weights: Path) -> None:
    config = CellsConfig(diameter=9)
    detector = create_detector("cells", frames, weights=weights, config=config, device="cpu")
    raw = detector.detect(0)
    assert {tile.side for tile in raw.tiles} == {SIDE // 4}
    assert raw.instances(score=0.05, overlap=0.5).labels.shape == (90, 300)


def test_large_cells_are_seen_on_tiles_hardly_larger_than_the_frame(
    frames: FrameStack, weights: Path
) -> None:
    config = CellsConfig(diameter=100)
    detector = create_detector("cells", frames, weights=weights, config=config, device="cpu")
    assert [tile.side for tile in detector.detect(0).tiles] == [1.25 * 300]


def test_tiles_are_scaled_and_continued() -> None:
    image = torch.arange(40.0).expand(1, 3, 30, 40)
    tile = cut(image, Tile(0, 0, 2 * SIDE))
    assert tile.shape == (1, 3, SIDE, SIDE)
    assert float(tile[0, 0, 5, 10]) == pytest.approx(20.5, abs=0.1)
    assert float(tile[0, 0, :, 25:].min()) == pytest.approx(39)


def test_the_network_sees_no_gain() -> None:
    grey = torch.rand(1, 1, 30, 40)
    torch.testing.assert_close(show(grey)[:, 1:], show(4 * grey)[:, 1:], rtol=1e-4, atol=1e-4)


def test_a_design_that_goes_along_with_its_weights(frames: FrameStack, tmp_path: Path) -> None:
    torch.manual_seed(0)
    design = replace(
        CELLS, scores_masks=True, mask_activation="tanh", class_scores="sigmoid", instance_codes=3
    )
    state = Yolact(design, n_classes=2).state_dict()
    path, converted = tmp_path / "cells.safetensors", tmp_path / "converted.safetensors"
    save_file(state, path, metadata={"design": design.to_json()})
    checkpoints.convert(path, converted)
    for file in (path, converted):
        found = checkpoints.identify(file)
        assert (found.network, found.misfit) == ("cells", "")
    detector = create_detector("cells", frames, weights=converted, device="cpu")
    assert isinstance(detector, CellDetector)
    assert detector.running.network.design == design
    raw = detector.detect(0)
    seen = raw.seen[0]
    assert seen.activation is torch.tanh
    assert seen.score_masks is not None
    # What a sigmoid makes of the class's logit, which a softmax doesn't.
    grey = torch.from_numpy(frames.normalized(0).mean(axis=0))[None, None]
    predicted = detector.running.predict(cut(show(grey), raw.tiles[0]))
    expected = predicted.class_logits[0, :, 1].sigmoid()
    torch.testing.assert_close(seen.candidates.scores[:, 0], expected[expected > 0.05])
    assert raw.instances(score=0.05, overlap=0.5).labels.shape == (90, 300)
    save_file(state, path, metadata={"design": '{"backbone": "wide", "anchors": {}}'})
    with pytest.raises(WeightsError, match="a design that this version doesn't know"):
        checkpoints.identify(path)


def test_what_cannot_be_used_is_refused(frames: FrameStack, weights: Path) -> None:
    with pytest.raises(WeightsError, match="network compact"):
        create_detector("cells", frames, weights="compact")
    with pytest.raises(NapariVosError, match=r"diameter is 2; expected at least 4.0, or None"):
        CellsConfig(diameter=2)

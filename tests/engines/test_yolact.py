from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_vos import FrameStack
from napari_vos.configs import YolactConfig
from napari_vos.engines import create_detector
from napari_vos.engines.yolact import YolactDetector, show
from napari_vos.engines.yolact_detections import YolactDetections
from napari_vos.errors import NapariVosError, WeightsError
from napari_vos.networks.yolact import DESIGNS, Candidates, Yolact

SIZE = (40, 60)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the smallest published design, with three classes and random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "yolact_resnet50_3_1.pth"
    torch.save(Yolact(DESIGNS["resnet50"], n_classes=4).state_dict(), path)
    return path


@pytest.fixture
def frames() -> FrameStack:
    random = np.random.default_rng(0)
    return FrameStack(random.integers(0, 4000, (2, *SIZE), dtype=np.uint16))


def test_a_file_is_run_on_a_frame(frames: FrameStack, weights: Path) -> None:
    config = YolactConfig(size=256, max_instances=7)
    detector = create_detector("yolact", frames, weights=weights, config=config, device="cpu")
    assert detector.plan["network"] == "yolact_resnet50"
    raw = detector.detect(1)
    found = raw.instances(score=0.05, overlap=0.5)
    n_found = len(found.scores)
    assert 0 < n_found <= 7
    assert found.labels.shape == SIZE
    assert found.labels.dtype == np.uint16
    assert np.unique(found.labels[found.labels > 0]).tolist() == list(range(1, n_found + 1))
    assert set(found.classes.tolist()) <= {0, 1, 2}
    assert (np.diff(found.scores) <= 0).all()
    assert (found.boxes >= 0).all()
    assert (found.boxes <= (*SIZE, *SIZE)).all()
    nothing = raw.instances(score=0.999, overlap=0.5)
    assert not nothing.labels.any()
    assert nothing.boxes.shape == (0, 4)


def detections(
    boxes: list[list[float]], scores: list[list[float]], signs: list[float], **changes: object
) -> YolactDetections:
    """Instances that fill their boxes where the sign is 1, on a frame of 40 x 60 pixels."""
    prototypes = torch.zeros(40, 60, 32)
    prototypes[:, :, 0] = 50
    coefficients = torch.zeros(len(boxes), 32)
    coefficients[:, 0] = torch.tensor(signs)
    candidates = Candidates(
        torch.tensor(boxes) / torch.tensor([60, 40, 60, 40]), torch.tensor(scores), coefficients
    )
    settings = {"size": SIZE, "score_masks": None, "max_instances": 100} | changes
    return YolactDetections(candidates, prototypes, **settings)  # type: ignore[arg-type]


LEFT, RIGHT, NEAR_LEFT = [5, 5, 15, 15], [30, 10, 50, 30], [6, 5, 16, 15]


def test_the_best_comes_first_in_its_place_and_class() -> None:
    raw = detections([LEFT, RIGHT], [[0.6, 0.1], [0.2, 0.9]], [1, 1])
    found = raw.instances(score=0.3, overlap=0.5)
    assert found.scores.tolist() == pytest.approx([0.9, 0.6])
    assert found.classes.tolist() == [1, 0]
    np.testing.assert_allclose(found.boxes, [[10, 30, 30, 50], [5, 5, 15, 15]], rtol=1e-5)
    assert found.labels[20, 40] == 1
    assert found.labels[10, 10] == 2
    assert found.labels[35, 5] == 0
    # A mask may reach one prototype pixel beyond its box.
    assert (found.labels == 2).sum() == 12 * 12


def test_thresholds() -> None:
    raw = detections([LEFT, NEAR_LEFT, RIGHT], [[0.9], [0.8], [0.4]], [1, 1, 1])
    assert raw.instances(score=0.3, overlap=0.5).scores.tolist() == pytest.approx([0.9, 0.4])
    assert raw.instances(score=0.5, overlap=0.5).scores.tolist() == pytest.approx([0.9])
    loose = raw.instances(score=0.3, overlap=0.95)
    assert loose.scores.tolist() == pytest.approx([0.9, 0.8, 0.4])
    assert (loose.labels == 2).sum() == 12  # the column that the better one leaves


def test_one_class_alone() -> None:
    raw = detections([LEFT, NEAR_LEFT, RIGHT], [[0.6, 0.1], [0.4, 0.9], [0.2, 0.5]], [1, 1, 1])
    first = raw.instances(score=0.3, overlap=0.5, kind=0)
    assert first.scores.tolist() == pytest.approx([0.6])
    assert first.classes.tolist() == [0]
    second = raw.instances(score=0.3, overlap=0.5, kind=1)
    assert second.scores.tolist() == pytest.approx([0.9, 0.5])
    assert second.classes.tolist() == [1, 1]
    both = raw.instances(score=0.3, overlap=0.5, kind=(0, 1))
    assert both.scores.tolist() == raw.instances(score=0.3, overlap=0.5).scores.tolist()
    with pytest.raises(NapariVosError, match=r"Class 7 is looked for.*the classes 0 to 1"):
        raw.instances(score=0, overlap=0.5, kind=7)


def test_an_empty_mask_is_no_instance() -> None:
    found = detections([LEFT, RIGHT], [[0.9], [0.8]], [-1, 1]).instances(score=0.3, overlap=0.5)
    assert found.scores.tolist() == pytest.approx([0.8])
    assert np.unique(found.labels).tolist() == [0, 1]


def test_what_is_mostly_covered_is_no_instance() -> None:
    inside = [10, 10, 20, 20]
    around = [5, 5, 30, 30]
    raw = detections([around, inside], [[0.9], [0.8]], [1, 1])
    assert raw.instances(score=0.3, overlap=0.5).scores.tolist() == pytest.approx([0.9])
    raw = detections([around, inside], [[0.7], [0.8]], [1, 1])
    assert raw.instances(score=0.3, overlap=0.5).scores.tolist() == pytest.approx([0.8, 0.7])


def test_masks_that_fit_come_before_others() -> None:
    def score_masks(masks: Tensor) -> Tensor:
        return torch.tensor([[0.1, 0.5], [0.9, 0.2]])[: len(masks)]

    raw = detections([LEFT, RIGHT], [[0.0, 0.9], [0.8, 0.0]], [1, 1], score_masks=score_masks)
    found = raw.instances(score=0.3, overlap=0.5)
    assert found.scores.tolist() == pytest.approx([0.72, 0.45])
    assert found.labels[20, 40] == 1


def test_a_mask_is_its_prototypes_times_its_coefficients() -> None:
    raw = detections([LEFT, RIGHT], [[0.6], [0.9]], [1, 0.5])
    prototypes, coefficients, mask = raw.combination(1, score=0.3, overlap=0.5)
    assert prototypes.shape == (32, 40, 60)
    assert coefficients.tolist() == [0.5, *[0] * 31]
    total = (coefficients[:, None, None] * prototypes).sum(axis=0)
    np.testing.assert_allclose(mask[12:28, 32:48], 1 / (1 + np.exp(-total))[12:28, 32:48])
    assert not mask[:, :25].any()


def test_large_frames_are_painted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = detections([LEFT, RIGHT], [[0.9], [0.8]], [1, 1])
    whole = raw.instances(score=0.3, overlap=0.5).labels
    monkeypatch.setattr("napari_vos.engines.yolact_detections.CHUNK_PIXELS", 1)
    assert (raw.instances(score=0.3, overlap=0.5).labels == whole).all()


def test_grey_is_shown_between_0_and_255(frames: FrameStack) -> None:
    image = show(frames, 0)
    assert image.shape == (1, 3, *SIZE)
    assert (image[:, 0] == image[:, 2]).all()
    assert (float(image.min()), float(image.max())) == (0, 255)


def test_colour_of_8_bits_stays_as_it_is() -> None:
    colours = np.random.default_rng(0).integers(0, 200, (1, 8, 9, 3), dtype=np.uint8)
    image = show(FrameStack(colours), 0)
    assert (image[0].numpy() == colours[0].transpose(2, 0, 1)).all()


def test_two_channels_are_red_and_cyan() -> None:
    pair = np.random.default_rng(0).integers(0, 4000, (1, 2, 8, 9), dtype=np.uint16)
    image = show(FrameStack(pair, axes="TCYX"), 0)
    assert (image[0, 1] == image[0, 2]).all()
    assert (image[0, 0] != image[0, 1]).any()


def test_what_cannot_be_used_is_refused(frames: FrameStack, tmp_path: Path) -> None:
    with pytest.raises(NapariVosError, match=r"'other'.*yolact"):
        create_detector("other", frames)
    with pytest.raises(WeightsError, match="comes without weights"):
        YolactDetector.create(frames)
    with pytest.raises(WeightsError, match=r"network compact.*yolact_base are wanted"):
        create_detector("yolact", frames, weights="compact")
    with pytest.raises(WeightsError, match="No weights"):
        create_detector("yolact", frames, weights=tmp_path / "none.pth")
    with pytest.raises(NapariVosError, match="size is 128; expected at least 256"):
        YolactConfig(size=128)

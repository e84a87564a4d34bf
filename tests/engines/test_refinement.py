from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_vos import FrameStack
from napari_vos.configs import RefinementConfig
from napari_vos.engines.border_features import HALO, TILE, BorderFeatures
from napari_vos.engines.coarse_windows import coarsen, enlarge
from napari_vos.engines.refinement import MaskRefiner
from napari_vos.engines.windows import standardize
from napari_vos.errors import NapariVosError
from napari_vos.metrics import region_similarity
from napari_vos.networks.refinement import RefinementNetwork
from napari_vos.session.merge import labels_of, user_evidence
from napari_vos.store.evidence import Box, FrameEvidence, ObjectEvidence, Source


def evidence_of(labels: np.ndarray, source: Source = Source.PROPAGATED) -> FrameEvidence:
    objects = user_evidence(labels.astype(np.uint16))
    return FrameEvidence(0, {i: replace(item, source=source) for i, item in objects.items()})


class SeesBright(RefinementNetwork):
    """A network that has learnt that objects are bright: its logit is the image itself."""

    def __init__(self) -> None:
        super().__init__((4, 4, 4))
        self.asked = 0

    def encode(self, image, layout):
        quarter = torch.nn.functional.avg_pool2d(image, 4)
        return image, torch.nn.functional.avg_pool2d(image, 2), quarter

    def forward(self, known, fine):
        self.asked += fine.shape[-1]
        return 20 * fine[:, :1]


class SeesNothing(SeesBright):
    """A network that denies every object."""

    def forward(self, known, fine):
        return torch.full_like(fine[:, :1], -9.0)


def refiner(image: np.ndarray, network=None, **settings) -> MaskRefiner:
    frames = FrameStack(np.stack([image, image]), axes="TYX")
    network = (network or SeesBright()).eval()
    return MaskRefiner(frames, RefinementConfig(**settings), network, torch.device("cpu"), plan={})


def refine(image: np.ndarray, labels: np.ndarray, network=None, **settings) -> np.ndarray:
    refined = refiner(image, network, **settings).refine(0, evidence_of(labels))
    return labels_of(refined.objects.values(), labels.shape)


def disk(shape: tuple[int, int], center: tuple[float, float], radius: float) -> np.ndarray:
    rows, columns = np.indices(shape)
    return np.hypot(rows - center[0], columns - center[1]) < radius


def coarsened(mask: np.ndarray, factor: int) -> np.ndarray:
    """What is left of a mask at reduced scale, enlarged again cell by cell."""
    ends = [(0, -side % factor) for side in mask.shape]
    cells = np.pad(mask, ends, mode="edge").astype(np.float32)
    height, width = (side // factor for side in cells.shape)
    small = cells.reshape(height, factor, width, factor).mean((1, 3)) > 0.5
    blocks = np.kron(small, np.ones((factor, factor))) > 0
    return blocks[: mask.shape[0], : mask.shape[1]]


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("shape", [(96, 128), (97, 131), (65, 70)])
def test_coarse_masks_get_the_borders_of_the_image(shape: tuple[int, int], factor: int) -> None:
    truth = disk(shape, (33.2, 35.9), 20)
    given = coarsened(truth, factor)
    image = 1000 * truth.astype(np.uint16)
    refined = refine(image, given, factor=factor) == 1
    assert region_similarity(refined, truth) > 0.995
    assert region_similarity(refined, truth) > region_similarity(given, truth)


def test_objects_at_the_rim_of_the_frame() -> None:
    truth = disk((67, 71), (60, 2), 25)
    refined = refine(1000 * truth.astype(np.uint16), coarsened(truth, 4)) == 1
    np.testing.assert_array_equal(refined, truth)


def test_only_borders_change() -> None:
    noise = np.random.default_rng(0).integers(0, 1000, (80, 80)).astype(np.uint16)
    given = disk(noise.shape, (40, 40), 24)
    refined = refine(noise, given, factor=2) == 1
    changed = refined != given
    assert changed.any()
    assert not changed[disk(noise.shape, (40, 40), 19)].any()
    assert not changed[~disk(noise.shape, (40, 40), 29)].any()


def test_a_constant_image_changes_nothing() -> None:
    labels = np.zeros((50, 61), np.uint16)
    labels[5:30, 7:23], labels[5:30, 23:50], labels[40, 40] = 3, 9, 77
    for value in (0, 700):
        image = np.full(labels.shape, value, np.uint16)
        np.testing.assert_array_equal(refine(image, labels), labels)


def test_perfect_labels_stay() -> None:
    truth = disk((90, 90), (44, 40), 27)
    image = 1000 * truth.astype(np.uint16)
    assert region_similarity(refine(image, truth) == 1, truth) > 0.995


def test_labels_stay_where_the_image_says_nothing() -> None:
    class Undecided(SeesBright):
        def forward(self, known, fine):
            return known.own[:, None].clamp(0.02, 0.98).logit()

    noise = np.random.default_rng(0).integers(0, 1000, (80, 90)).astype(np.uint16)
    labels = np.zeros(noise.shape, np.uint16)
    labels[disk(noise.shape, (40, 33), 24)] = 3
    labels[21:59, 57:70], labels[21:59, 71:85] = 9, 8  # a gap of one pixel
    labels[labels == 3] *= ~ndimage.binary_dilation(labels > 3)[labels == 3]
    labels[72, 5:80] = 40  # a thread of one pixel
    np.testing.assert_array_equal(refine(noise, labels, Undecided()), labels)


def test_one_pixel_and_thin_objects_stay() -> None:
    image = np.zeros((60, 60), np.uint16)
    labels = np.zeros_like(image)
    labels[20, 31], labels[5:55, 8], labels[59, 59] = 1, 2, 3
    refined = refine(image + 1000 * (np.indices(image.shape)[0] % 2).astype(np.uint16), labels)
    for object_id in (1, 2, 3):
        assert region_similarity(refined == object_id, labels == object_id) >= 0.5


@pytest.mark.parametrize("network", [SeesNothing(), RefinementNetwork()])
def test_no_object_vanishes_or_is_mistaken_for_another(network: RefinementNetwork) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 1000, (101, 203)).astype(np.uint16)
    ids = rng.permutation(np.arange(1, 60000))[:500].reshape(20, 25)
    # 500 objects that touch each other everywhere.
    labels = np.kron(ids, np.ones((5, 8)))[:101, :203].astype(np.uint16)
    labels = np.pad(labels, ((0, 1), (0, 3)))
    refined = refine(image, labels, network)
    assert set(np.unique(refined)) == set(np.unique(labels))
    for object_id in ids.ravel()[::23]:
        assert region_similarity(refined == object_id, labels == object_id) >= 0.5


def test_cost_grows_with_borders_and_not_with_area() -> None:
    asked = []
    for radius in (20, 40, 80):
        truth = disk((256, 256), (127.5, 127.5), radius)
        network = SeesBright()
        refine(1000 * truth.astype(np.uint16), coarsened(truth, 4), network)
        asked.append(network.asked)
    assert asked[1] < 2.3 * asked[0]
    assert asked[2] < 2.3 * asked[1]


def test_user_masks_are_never_changed() -> None:
    truth = disk((64, 64), (30, 30), 15)
    given = evidence_of(coarsened(truth, 4), Source.USER)
    assert refiner(1000 * truth.astype(np.uint16)).refine(0, given) is given


def test_probabilities_of_overlapping_objects_compete() -> None:
    image = np.zeros((40, 40), np.uint16)
    image[10:30, 10:30] = 1000
    box = Box(8, 8, 32, 32)
    left = np.where(np.arange(24) < 11, 0.7, 0.2) * np.ones((24, 1))
    objects = {
        object_id: ObjectEvidence(object_id, box, soft.astype(np.float16), 0.8, Source.PROPAGATED)
        for object_id, soft in ((4, left), (5, 0.9 - left))
    }
    refined = refiner(image).refine(0, FrameEvidence(0, objects))
    total = np.zeros(image.shape, np.float32)
    for item in refined.objects.values():
        assert item.confidence == 0.8
        total[item.box.slices] += item.probability
    assert list(refined.objects) == [4, 5]
    assert total.max() < 1.01


def test_uncertain_changes_are_not_made() -> None:
    truth = disk((64, 64), (30, 30), 15)
    given = coarsened(truth, 4)

    class Hesitant(SeesBright):
        def forward(self, known, fine):
            return 0.8 * fine[:, :1].sign()

    image = 1000 * truth.astype(np.uint16)
    assert (refine(image, given, Hesitant(), certainty=0.5) != given).any()
    np.testing.assert_array_equal(refine(image, given, Hesitant(), certainty=0.8), given)


def test_coarse_windows_hold_the_mean_of_each_cell() -> None:
    labels = np.zeros((21, 22), np.uint16)
    labels[14:, 9:18] = 1
    (item,) = user_evidence(labels).values()
    window = coarsen(item, labels.shape, 4)
    assert window.cells == Box(2, 1, 6, 6)
    assert window.coarse[1].tolist() == [0, 0.375, 0.5, 0.25, 0]
    assert window.coarse[3].tolist() == [0, 0.75, 1, 0.5, 0]  # the frame's last row repeated
    assert window.box_within(labels.shape) == Box(8, 4, 21, 22)
    assert enlarge(window.coarse, 4).shape == window.given.shape


def test_features_at_borders_are_those_of_the_whole_frame() -> None:
    torch.manual_seed(0)
    network = RefinementNetwork().eval().requires_grad_(False)
    image = torch.randn(3, 2 * TILE, 3 * TILE)
    borders = torch.zeros(32, 48, dtype=torch.bool)
    borders[20, 20] = True  # the middle tile below
    layout = torch.zeros(2, 32, 48)
    layout[0, 16:24, 16:24] = 1.0
    features = BorderFeatures(network, image, layout, borders, 4)
    assert features.told.sum() == 1
    centers = torch.tensor([[82.5, 82.5], [100.5, 70.5]])
    sampled = features.sample(centers)[0, : network.widths[0]]
    drawn = enlarge(layout, 4)
    beyond = [HALO, HALO, HALO, HALO]
    padded = torch.nn.functional.pad(torch.cat([image, drawn])[None], beyond, mode="replicate")[0]
    side = TILE + 2 * HALO
    crop = padded[None, :, TILE : TILE + side, TILE : TILE + side]
    encoded = network.encode(standardize(crop[:, :3]), crop[:, 3:])
    at = [HALO + 18, HALO + 36], [HALO + 18, HALO + 6]
    expected = encoded[0][0, :, at[0], at[1]]
    torch.testing.assert_close(sampled, expected)
    elsewhere = features.sample(torch.tensor([[10.0, 10.0]]))
    assert not elsewhere.any()


def test_settings_have_limits() -> None:
    for factor in (0, 3, 16):
        with pytest.raises(NapariVosError, match=f"factor is {factor}"):
            RefinementConfig(factor=factor)

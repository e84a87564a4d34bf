from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_vos import FrameStack, refine_labels
from napari_vos.configs import RefinementConfig
from napari_vos.errors import FramesError, WeightsError
from napari_vos.metrics import region_similarity
from napari_vos.networks.refinement import RefinementNetwork
from napari_vos.simulation import sample


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights that were never trained."""
    torch.manual_seed(0)
    network = RefinementNetwork()
    torch.nn.init.ones_(network.head.predictor.bias)  # objects grow a little
    path = tmp_path_factory.mktemp("weights") / "refinement.safetensors"
    save_file(network.state_dict(), path)
    return path


DECIDED = RefinementConfig(certainty=0.5)
"""Each pixel takes its likelier side, even if weights that learned nothing are unsure."""


@pytest.fixture
def labels(images):
    labels = np.zeros_like(images)
    labels[:, 4:17, 5:20], labels[:, 4:17, 20:33] = 3, 900
    return labels


def test_a_lazy_stack_of_the_same_objects(images, labels, weights):
    refined = refine_labels(FrameStack(images, axes="TYX"), labels, config=DECIDED, weights=weights)
    assert refined.shape == labels.shape
    assert refined.dtype == np.uint16
    assert len(refined) == len(labels)
    frame = refined[2]
    assert set(np.unique(frame)) == {0, 3, 900}
    np.testing.assert_array_equal(frame, refined[2])
    assert (frame != labels[2]).any()
    assert (labels[:, 4:17] > 0).any()  # what was given is untouched


def test_objects_that_are_not_chosen_stay_pixel_by_pixel(images, labels, weights):
    frames = FrameStack(images, axes="TYX")
    refined = refine_labels(frames, labels, object_ids=[900], config=DECIDED, weights=weights)[0]
    np.testing.assert_array_equal(refined == 3, labels[0] == 3)
    assert ((refined == 900) != (labels[0] == 900)).any()


def test_frames_may_be_empty_and_labels_a_list(images, weights):
    frames = FrameStack(images, axes="TYX")
    refined = refine_labels(frames, list(np.zeros_like(images)), weights=weights)
    assert not any(frame.any() for frame in refined)


def test_shapes_that_differ(images, labels, weights):
    with pytest.raises(FramesError, match=r"\(12, 24, 39\).*\(12, 24, 40\)"):
        refine_labels(FrameStack(images, axes="TYX"), labels[:, :, 1:], weights=weights)


def test_missing_weights_are_named(images, labels, monkeypatch):
    monkeypatch.setattr("napari_vos.checkpoints.registered", lambda: ())
    with pytest.raises(WeightsError, match=r"train refinement.*--weights"):
        refine_labels(FrameStack(images, axes="TYX"), labels)


def test_color_images_and_all_factors(labels, weights):
    colors = np.random.default_rng(0).integers(0, 255, (12, 24, 40, 3), dtype=np.uint8)
    for factor in (2, 8):
        refined = refine_labels(
            FrameStack(colors), labels, config=RefinementConfig(factor=factor), weights=weights
        )
        assert set(np.unique(refined[0])) == {0, 3, 900}


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_the_weights_of_the_package_find_borders(factor):
    movie = sample("nuclei")
    truth, frames = movie.labels[0], FrameStack(movie.images[:1], axes="TYX")
    cells = truth[factor // 2 :: factor, factor // 2 :: factor]
    coarse = cells.repeat(factor, axis=0).repeat(factor, axis=1)[: truth.shape[0], : truth.shape[1]]
    refined = refine_labels(frames, [coarse], config=RefinementConfig(factor=factor))[0]
    assert set(np.unique(refined)) == set(np.unique(coarse))
    assert np.mean(refined != truth) < 0.85 * np.mean(coarse != truth)


def test_the_weights_of_the_package_leave_perfect_labels():
    movie = sample("nuclei")
    frames = FrameStack(movie.images[:1], axes="TYX")
    refined = refine_labels(frames, movie.labels[:1])[0]
    kept = [
        region_similarity(refined == object_id, movie.labels[0] == object_id)
        for object_id in np.unique(movie.labels[0])[1:]
    ]
    assert min(kept) > 0.94
    assert np.mean(kept) > 0.975

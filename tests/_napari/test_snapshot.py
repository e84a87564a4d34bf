from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_vos._napari.snapshot import (
    METADATA,
    UserFrames,
    shown_frame,
    take_image,
    take_prompts,
)
from napari_vos.errors import FramesError, PromptError

PLACED = {"scale": (2, 0.5, 0.5), "translate": (10, 3, 4)}


def view(*layers: Any) -> ViewerModel:
    viewer = ViewerModel()
    for layer in layers:
        viewer.add_layer(layer)
    return viewer


def take(image: Image, labels: Labels, viewer: ViewerModel, which: UserFrames) -> dict[int, Any]:
    return dict(take_prompts(labels, take_image(image), viewer, which).painted())


@pytest.fixture
def image(images: np.ndarray) -> Image:
    return Image(images, name="phase", **PLACED)


def test_all_painted_frames_are_found(image: Image, masks: np.ndarray) -> None:
    masks[5, 1, 1] = 3
    labels = Labels(masks, **PLACED)
    found = take(image, labels, view(image, labels), UserFrames.PAINTED)
    assert list(found) == [0, 5]
    np.testing.assert_array_equal(found[0], masks[0])


def test_this_frame_is_the_one_in_view_whatever_the_scale(image: Image, masks: np.ndarray) -> None:
    masks[5, 1, 1] = 3
    labels = Labels(masks, **PLACED)
    viewer = view(image, labels)
    viewer.dims.set_point(0, 10 + 2 * 5)
    assert shown_frame(take_image(image), viewer) == 5
    assert list(take(image, labels, viewer, UserFrames.SHOWN)) == [5]


def test_the_frame_in_view_is_a_copy(image: Image, masks: np.ndarray) -> None:
    labels = Labels(masks, **PLACED)
    viewer = view(image, labels)
    viewer.dims.set_point(0, 10)
    prompts = take_prompts(labels, take_image(image), viewer, UserFrames.SHOWN)
    masks[0] = 9
    assert 9 not in dict(prompts.painted())[0]


def test_a_flat_labels_layer_belongs_to_the_frame_in_view(image: Image, masks: np.ndarray) -> None:
    labels = Labels(masks[0], scale=(0.5, 0.5), translate=(3, 4))
    viewer = view(image, labels)
    viewer.dims.set_point(0, 10 + 2 * 3)
    assert list(take(image, labels, viewer, UserFrames.PAINTED)) == [3]


@pytest.mark.parametrize("change", ["order", "ndisplay"])
def test_views_that_spread_time_out_have_no_frame(
    image: Image, masks: np.ndarray, change: str
) -> None:
    labels = Labels(masks, **PLACED)
    viewer = view(image, labels)
    if change == "order":
        viewer.dims.order = (1, 0, 2)
    else:
        viewer.dims.ndisplay = 3
    assert shown_frame(take_image(image), viewer) is None
    with pytest.raises(PromptError, match="Go back to the 2-D view"):
        take(image, labels, viewer, UserFrames.SHOWN)
    assert list(take(image, labels, viewer, UserFrames.PAINTED)) == [0]


def test_a_channel_axis_is_found_and_labels_may_have_it_or_not(
    images: np.ndarray, masks: np.ndarray
) -> None:
    image = Image(np.stack([images, images], axis=1), name="two")
    snapshot = take_image(image)
    assert snapshot.letters == "TCYX"
    assert snapshot.open().n_channels == 2
    painted = np.zeros((12, 2, 24, 40), np.uint16)
    painted[4, 1, 2:6, 3:7] = 8
    labels = Labels(painted)
    found = take(image, labels, view(image, labels), UserFrames.PAINTED)
    assert list(found) == [4]
    np.testing.assert_array_equal(found[4], painted[4, 1])
    flat = Labels(masks)
    assert list(take(image, flat, view(image, flat), UserFrames.PAINTED)) == [0]


def test_colour_is_no_axis_of_the_layer(images: np.ndarray) -> None:
    colour = np.stack([images] * 3, axis=-1).astype(np.uint8)
    snapshot = take_image(Image(colour, rgb=True))
    assert snapshot.letters == "TYX"
    assert snapshot.shape == (12, 24, 40)
    assert snapshot.open().n_channels == 3


def test_the_first_level_of_a_multiscale_layer_is_used(images: np.ndarray) -> None:
    layer = Image([images, images[:, ::2, ::2]], multiscale=True)
    assert take_image(layer).open().shape == (24, 40)
    assert take_image(layer).is_same(take_image(layer))


@pytest.mark.parametrize(
    ("shape", "labels", "message"),
    [
        ((24, 40), None, "single image"),
        ((12, 5, 24, 40), ("t", "z", "y", "x"), "planes"),
        ((24, 40, 12), ("y", "x", "t"), "Transpose"),
    ],
)
def test_images_that_are_no_time_lapse_are_refused(
    shape: tuple[int, ...], labels: Any, message: str
) -> None:
    with pytest.raises(FramesError, match=message):
        take_image(Image(np.zeros(shape), axis_labels=labels, name="odd"))


def test_no_layers_are_refused(image: Image) -> None:
    with pytest.raises(FramesError, match="No image layer"):
        take_image(None)
    with pytest.raises(PromptError, match="No labels layer"):
        take_prompts(None, take_image(image), view(image), UserFrames.PAINTED)


@pytest.mark.parametrize(
    "elsewhere",
    [
        {},
        {**PLACED, "scale": (1, 0.5, 0.5)},
        {**PLACED, "scale": (2, 0.5, 0.52)},
        {**PLACED, "translate": (10, 3, 4.3)},
        {**PLACED, "rotate": 5},
        {**PLACED, "shear": (0, 0, 0.1)},
        {**PLACED, "affine": np.diag((1, 1, 1.1, 1))},
    ],
)
@pytest.mark.parametrize("which", list(UserFrames))
def test_labels_that_lie_elsewhere_are_refused(
    image: Image, masks: np.ndarray, elsewhere: dict[str, Any], which: UserFrames
) -> None:
    labels = Labels(masks, name="masks", **elsewhere)
    viewer = view(image, labels)
    viewer.dims.set_point(0, 10)
    with pytest.raises(PromptError, match="'masks' doesn't lie on the images 'phase'") as told:
        take(image, labels, viewer, which)
    assert "expected (2, 0.5, 0.5) and (10, 3, 4)" in str(told.value)
    assert "Press 'New labels'" in str(told.value)


def test_what_lies_there_in_another_way_is_taken(image: Image, masks: np.ndarray) -> None:
    moved = np.diag((2, 0.5, 0.5, 1.0))
    moved[:3, 3] = 10, 3, 4
    close = {**PLACED, "scale": (2, 0.5001, 0.4999)}  # as a file may have rounded it
    for placement in ({"affine": moved}, close):
        labels = Labels(masks, **placement)
        assert list(take(image, labels, view(image, labels), UserFrames.PAINTED)) == [0]


def test_a_flat_layer_that_lies_elsewhere_is_refused(image: Image, masks: np.ndarray) -> None:
    labels = Labels(masks[0], name="masks", scale=(0.5, 0.5))
    viewer = view(image, labels)
    viewer.dims.set_point(0, 10)
    with pytest.raises(PromptError, match=r"its translate \(0, 0\); expected .* \(3, 4\)"):
        take(image, labels, viewer, UserFrames.SHOWN)


def test_napari_s_own_new_labels_lie_on_the_images(image: Image) -> None:
    viewer = view(image)
    viewer._new_labels()
    viewer.layers[-1].data[3, 1, 1] = 1
    assert list(take(image, viewer.layers[-1], viewer, UserFrames.PAINTED)) == [3]


def test_labels_of_another_shape_are_refused_by_name(image: Image) -> None:
    labels = Labels(np.zeros((12, 24, 41), int), name="masks")
    with pytest.raises(PromptError, match=r"'masks' has shape \(12, 24, 41\).*'phase'"):
        take(image, labels, view(image, labels), UserFrames.PAINTED)


@pytest.mark.parametrize("which", list(UserFrames))
def test_empty_labels_are_refused(image: Image, which: UserFrames) -> None:
    labels = Labels(np.zeros((12, 24, 40), int), name="masks", **PLACED)
    viewer = view(image, labels)
    viewer.dims.set_point(0, 10)
    with pytest.raises(PromptError, match="'masks' is empty"):
        take(image, labels, viewer, which)


def test_a_frame_outside_the_images_is_refused(image: Image, masks: np.ndarray) -> None:
    labels = Labels(masks, **PLACED)
    longer = Labels(np.zeros((40, 24, 40), int), scale=(2, 0.5, 0.5))
    viewer = view(image, labels, longer)
    viewer.dims.set_point(0, 60)
    with pytest.raises(PromptError, match="Frame 25 in view is outside 'phase' \\(0-11\\)"):
        take(image, labels, viewer, UserFrames.SHOWN)


def test_results_count_only_as_the_frame_in_view(image: Image, masks: np.ndarray) -> None:
    labels = Labels(masks, name="results", metadata={METADATA: {"session": "/x"}}, **PLACED)
    viewer = view(image, labels)
    viewer.dims.set_point(0, 10)
    with pytest.raises(PromptError, match="choose 'this frame'"):
        take(image, labels, viewer, UserFrames.PAINTED)
    assert list(take(image, labels, viewer, UserFrames.SHOWN)) == [0]

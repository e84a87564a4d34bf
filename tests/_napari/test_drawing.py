"""Layers that people draw on, as prompts; no window is needed."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Points, Shapes

from napari_vos._napari.drawing import Place, combine, read_points, read_shapes
from napari_vos._napari.snapshot import take_image
from napari_vos.errors import PromptError
from napari_vos.prompts import box_prompt, draw, point_prompt, scribble_prompt

PLACED = {"scale": (2, 0.5, 0.5), "translate": (10, 3, 4)}


@pytest.fixture
def place(images: np.ndarray) -> Place:
    """12 frames of 24 x 40 pixels, half a micrometre each; frame 5 and object 7 are current."""
    image = Image(images, name="phase", **PLACED)
    return Place(image, take_image(image), 5, 7)


def at(t: float, *points: tuple[float, float]) -> np.ndarray:
    return np.array([(t, y, x) for y, x in points])


def test_paths_and_lines_are_scribbles_of_their_width(place: Place) -> None:
    layer = Shapes(ndim=3, **PLACED)
    layer.add_paths(at(3, (4, 5), (8, 9), (8, 20)), edge_width=3)
    layer.add_lines(at(6, (1, 2), (3, 4)), edge_width=0.4)
    found = read_shapes(layer, place)
    assert list(found) == [3, 6]
    assert found[3].masks is None
    assert found[3].prompts == (scribble_prompt(3, 7, [(4, 5), (8, 9), (8, 20)], width=3),)
    assert found[6].prompts == (scribble_prompt(6, 7, [(1, 2), (3, 4)], width=1),)


def test_rectangles_are_boxes(place: Place) -> None:
    layer = Shapes(at(3, (4, 5), (4, 20), (15, 20), (15, 5)), shape_type="rectangle", **PLACED)
    assert read_shapes(layer, place)[3].prompts == (box_prompt(3, 7, (4, 5, 15, 20)),)


def test_polygons_and_ellipses_are_masks(place: Place) -> None:
    layer = Shapes(ndim=3, **PLACED)
    layer.add_polygons(at(3, (4.5, 4.5), (4.5, 9.5), (9.5, 9.5), (9.5, 4.5)))
    layer.add_ellipses(at(3, (10, 20), (10, 30), (18, 30), (18, 20)))
    layer.features = {"object_id": [2, 9]}
    masks = read_shapes(layer, place)[3].masks
    assert masks is not None
    rows, columns = np.indices((24, 40))
    expected = np.zeros((24, 40), int)
    expected[5:10, 5:10] = 2
    expected[((rows - 14) / 4) ** 2 + ((columns - 25) / 5) ** 2 <= 1] = 9
    assert np.array_equal(masks.labels, expected)
    assert masks.object_ids == (2, 9)


def test_a_negative_polygon_is_a_scribble_that_fills_it(place: Place) -> None:
    polygon = at(3, (4.5, 4.5), (4.5, 9.5), (9.5, 9.5), (9.5, 4.5))
    layer = Shapes(polygon, shape_type="polygon", features={"positive": [False]}, **PLACED)
    found = read_shapes(layer, place)[3]
    assert found.masks is None
    negative = np.zeros((24, 40), bool)
    negative[5:10, 5:10] = True
    assert np.array_equal(draw(found.prompts, (24, 40)).outside(7), negative)


def test_points_are_clicks(place: Place) -> None:
    features = {"object_id": [2, 2, 65535], "positive": [True, False, True]}
    layer = Points(at(3, (4, 5), (6.5, 7), (8, 9)), features=features, **PLACED)
    layer.data[2, 0] = 4.3
    found = read_points(layer, place)
    assert found[3].prompts == (
        point_prompt(3, 2, (4, 5)),
        point_prompt(3, 2, (6.5, 7), positive=False),
    )
    assert found[4].prompts == (point_prompt(4, 65535, (8, 9)),)


def test_layers_of_another_scale(place: Place) -> None:
    layer = Shapes(at(16, (3, 4), (5, 8)), shape_type="line", edge_width=2)  # in the world
    assert read_shapes(layer, place)[3].prompts == (
        scribble_prompt(3, 7, [(0, 0), (4, 8)], width=4),
    )


def test_layers_without_time_belong_to_the_frame_in_view(place: Place) -> None:
    layer = Points([(4, 5)], scale=(0.5, 0.5), translate=(3, 4), name="clicks")
    assert read_points(layer, place)[5].prompts == (point_prompt(5, 7, (4, 5)),)
    nowhere = Place(place.image, place.snapshot, None, 7)
    with pytest.raises(PromptError, match="'clicks' has no time axis"):
        read_points(layer, nowhere)


def test_layers_of_more_dimensions_are_read_by_their_last_ones(place: Place) -> None:
    layer = Points([(8, 16, 5, 6.5)], name="clicks")  # the last three are those of the images
    assert read_points(layer, place)[3].prompts == (point_prompt(3, 7, (4, 5)),)


def test_channels_are_no_matter() -> None:
    image = Image(np.zeros((4, 2, 24, 40)), name="phase", axis_labels=("t", "c", "y", "x"))
    place = Place(image, take_image(image), 1, 7)
    layer = Points([(3, 1, 4, 5)])
    assert read_points(layer, place)[3].prompts == (point_prompt(3, 7, (4, 5)),)
    assert read_points(Points([(4, 5)]), place)[1].prompts == (point_prompt(1, 7, (4, 5)),)


def test_masks_of_several_layers_become_one(place: Place) -> None:
    polygons = [((4.5, 4.5), (4.5, 9.5), (9.5, 9.5), (9.5, 4.5)), ((8, 8), (8, 20), (15, 15))]
    layers = [
        Shapes(at(3, *each), shape_type="polygon", features={"object_id": [i]}, **PLACED)
        for i, each in enumerate(polygons, start=1)
    ]
    click = Points(at(2, (1, 1)), **PLACED)
    one, other = (read_shapes(layer, place) for layer in layers)
    found = combine([one, other, read_points(click, place)])
    assert list(found) == [2, 3]
    assert found[3].masks is not None
    first, later = (each[3].masks.labels for each in (one, other))
    assert (first[later > 0] > 0).any()
    np.testing.assert_array_equal(found[3].masks.labels, np.where(later, later, first))


LINE = {"data": at(3, (4, 5), (8, 9)), "shape_type": "line"}


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ({**LINE, "data": np.array([(3, 4, 5), (4, 8, 9)])}, "Shape 0 of 'marks' is on frame 3-4"),
        (
            {**LINE, "data": at(12, (4, 5), (8, 9))},
            "frame 12; expected one frame of 'phase'",
        ),
        ({**LINE, "features": {"object_id": [0]}}, "'marks' has the object_id 0; expected an id"),
        ({**LINE, "features": {"object_id": [2.5]}}, "'marks' has the object_id 2.5"),
        ({**LINE, "features": {"positive": ["no"]}}, "feature positive no; expected True or False"),
        (
            {"data": at(3, (50, 5), (50, 9), (60, 9)), "shape_type": "polygon"},
            "Shape 0 of 'marks' holds no pixel of 'phase'",
        ),
        (
            {
                "data": at(3, (4, 5), (4, 20), (15, 20), (15, 5)),
                "shape_type": "rectangle",
                "features": {"positive": [False]},
            },
            "Shape 0 of 'marks' is a negative rectangle",
        ),
    ],
)
def test_shapes_that_cannot_be_used(place: Place, shape: dict, told: str) -> None:
    with pytest.raises(PromptError, match=told):
        read_shapes(Shapes(name="marks", **shape, **PLACED), place)

from __future__ import annotations

import pytest

from napari_vos.errors import FramesError
from napari_vos.frames.axes import find_layout


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((10, 64, 48), "TYX"),
        ((1, 64, 48), "TYX"),
        ((10, 2, 64, 48), "TCYX"),
        ((10, 1, 64, 48), "TYX"),
        ((10, 64, 48, 3), "TYXC"),
        ((10, 64, 48, 4), "TYXC"),
    ],
)
def test_axes_are_inferred(shape: tuple[int, ...], axes: str) -> None:
    layout = find_layout(shape, None, "phase")
    assert layout.axes == axes
    assert (layout.n_frames, layout.shape) == (shape[0], (64, 48))


@pytest.mark.parametrize(
    ("axes", "shape", "found"),
    [
        ("tyx", (10, 64, 48), "TYX"),
        ("TYX", (10, 64, 3), "TYX"),
        ("TCYX", (10, 20, 64, 48), "TCYX"),
        ("TCZYX", (10, 2, 1, 64, 48), "TCYX"),
        ("TZCYXS", (10, 1, 1, 64, 48, 3), "TYXC"),
        ("TZCYXS", (1, 1, 1, 64, 48, 1), "TYX"),
        ("YXT", (64, 48, 10), "YXT"),
    ],
)
def test_axes_are_named(axes: str, shape: tuple[int, ...], found: str) -> None:
    assert find_layout(shape, axes, "phase").axes == found


def test_index_leads_to_the_frame() -> None:
    layout = find_layout((10, 2, 1, 64, 48), "TCZYX", "phase")
    everything = slice(None)
    assert layout.index(7) == (7, everything, 0, everything, everything)


@pytest.mark.parametrize(
    ("shape", "axes", "message"),
    [
        ((64, 48), None, r"'phase' looks like a single image.* \(64, 48\).*\(T, Y, X\)\.$"),
        ((64, 48, 3), None, "looks like a single image.*axes='TYX'"),
        ((64, 48), "YX", r"'phase' has no time axis \(axes 'YX', shape \(64, 48\)\)"),
        ((10, 20, 64, 48), None, r"Can't tell the axes of 'phase'.*axes='TCYX'"),
        ((10, 3, 64, 3), None, "Can't tell the axes"),
        ((10, 2, 5, 64, 48), None, "Can't tell the axes"),
        ((48,), None, "Can't tell the axes"),
        ((10, 20, 64, 48), "TZYX", "'phase' has 20 planes in Z.*Pick a plane.*or project"),
        ((20, 64, 48), "ZYX", "20 planes in Z.*If Z is really time.*axes='TYX'"),
        ((10, 64, 48), "TCYX", "name 4 dimensions, but 'phase' has 3"),
        ((10, 64, 48), "QYX", "can't be understood"),
        ((10, 64, 48), "YYX", "can't be understood"),
        ((10, 64, 48), "TCX", "lack Y or X"),
        ((10, 2, 64, 48, 3), "TCYXS", "channels and colour at once"),
        ((0, 64, 48), None, "'phase' holds no frames"),
        ((10, 0, 48), None, "have no pixels"),
    ],
)
def test_axes_that_cannot_be_used(shape: tuple[int, ...], axes: str | None, message: str) -> None:
    with pytest.raises(FramesError, match=message):
        find_layout(shape, axes, "phase")

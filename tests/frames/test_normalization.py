from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_vos import FrameStack

if TYPE_CHECKING:
    from numpy.typing import NDArray


@pytest.fixture
def movie() -> NDArray[np.uint16]:
    generator = np.random.default_rng(0)
    return (100 + generator.gamma(2, 60, (6, 40, 50))).astype(np.uint16)


def normalized(images: object) -> NDArray[np.float32]:
    frames = FrameStack(images)
    return np.stack([frames.normalized(t) for t in range(frames.n_frames)])


def test_range_by_hand() -> None:
    images = np.arange(251, dtype=np.uint16).reshape(1, 1, 251)  # each pixel is 4 thousandths
    frames = FrameStack(images)
    assert frames.normalization == {"channels": [0], "low": [1.0], "high": [250.0]}
    assert json.loads(json.dumps(frames.normalization)) == frames.normalization
    assert np.array_equal(frames.normalized(0)[0, 0], ((np.arange(251) - 1) / 249).astype("f4"))


def test_percentiles_are_robust(movie: NDArray[np.uint16]) -> None:
    ordinary = FrameStack(movie).normalization
    movie[:, 0, 0] = 65535
    movie[:, 0, 1] = 0
    hot = FrameStack(movie)
    assert hot.normalization["low"] == pytest.approx(ordinary["low"], abs=3)
    assert hot.normalization["high"] == pytest.approx(ordinary["high"], rel=0.1)
    assert hot.normalized(0)[0, 0, 0] > 10  # not clipped
    assert hot.normalized(0)[0, 0, 1] < 0


@pytest.mark.parametrize("power", [-40, -9, -1, 1, 5, 40])
def test_powers_of_two_change_nothing(movie: NDArray[np.uint16], power: int) -> None:
    expected = normalized(movie)
    for dtype in (np.float32, np.float64):
        assert np.array_equal(normalized(np.ldexp(movie.astype(dtype), power)), expected)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_a_power_of_two_in_integers(movie: NDArray[np.uint16], dtype: type) -> None:
    assert np.array_equal(normalized(movie.astype(dtype) * 32), normalized(movie))


def test_powers_of_two_change_nothing_in_sparse_movies() -> None:
    images = np.zeros((4, 50, 50), np.float32)
    images[:, 3, 3] = 1, 2, 3, 4
    assert normalized(images).max() == 1
    assert np.array_equal(normalized(images / 1024), normalized(images))


@pytest.mark.parametrize("factor", [0.3, 7.1, 1e-6])
def test_other_factors_change_hardly_anything(movie: NDArray[np.uint16], factor: float) -> None:
    assert np.allclose(normalized(movie * factor), normalized(movie), atol=1e-6)


def test_one_range_for_the_whole_movie(movie: NDArray[np.uint16]) -> None:
    movie[3:] *= 2
    seen = normalized(movie)
    assert seen[3:].mean() > 1.5 * seen[:3].mean()


def test_big_frames_are_sampled_on_a_grid() -> None:
    images = np.zeros((2, 600, 700), np.uint8)
    images[:, ::3, ::3] = np.arange(200 * 234).reshape(200, 234) % 200
    images[:, 1::3] = 255  # between the grid lines
    assert max(FrameStack(images).normalization["high"]) < 200


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_constant_movies_give_zeros(value: int) -> None:
    assert not normalized(np.full((3, 8, 9), value, np.uint16)).any()


def test_constant_frames_give_zeros(movie: NDArray[np.uint16]) -> None:
    movie[2] = 0
    movie[4] = 65535
    seen = normalized(movie)
    assert not seen[[2, 4]].any()
    assert seen[[0, 1, 3, 5]].any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_counts_for_nothing(movie: NDArray[np.uint16], value: float) -> None:
    images = movie.astype(np.float32)
    images[:, ::4, 1:] = value
    images[5] = value
    kept = FrameStack(np.delete(movie[:5], np.s_[::4], axis=1)).normalization
    seen = FrameStack(images)
    assert seen.normalization["high"] == pytest.approx(kept["high"], rel=0.1)
    assert not seen.normalized(0)[0, ::4, 1:].any()
    assert seen.normalized(0).any()
    assert not seen.normalized(5).any()
    assert np.isfinite(normalized(images)).all()


def test_nothing_but_nan() -> None:
    assert not normalized(np.full((3, 8, 9), np.nan)).any()


def test_huge_values_stay_finite() -> None:
    images = np.random.default_rng(0).random((3, 50, 60))
    images[1, 0, 0] = 1e300
    assert np.isfinite(normalized(images)).all()

"""Movies without labels to learn from, and the clips that are cut from them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from napari_vos.engines.mast_frames import planes_of, show, without_copies
from napari_vos.errors import FramesError
from napari_vos.networks.mast import STRIDE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_vos.frames import FrameStack

Movie = np.ndarray[tuple[int, int, int, int], np.dtype[np.float16]]
"""(T, C, Y, X), with the range of the movie from 0 to 1."""

MOVIE_BYTES = 256 << 20
"""Of a longer or larger stack the frames in the middle are learned from."""

MARGIN = 48
"""Pixels around a crop that its bands depend on."""

ZOOMS = (0.5, 2.0)
"""How much larger or smaller frames are seen: it makes cells of all sizes alike."""


class Clips(NamedTuple):
    """Crops of some frames of a movie, as MAST sees them.

    Attributes
    ----------
    frames
        (B, F, 3, S, S) float32; the last one is read from those before.
    gaps
        (F - 1,) int64, how old these count as, in frames.
    """

    frames: torch.Tensor
    gaps: torch.Tensor


def load_movie(frames: FrameStack) -> Movie:
    """Read the frames of a stack to learn from; see `without_copies`.

    Raises
    ------
    FramesError
        If the stack has one frame alone.
    """
    if frames.n_frames == 1:
        raise FramesError(
            f"'{frames.name}' has one frame alone: there is no other one to learn from. Choose a "
            "time-lapse."
        )
    frame_bytes = 2 * len(frames.channels) * frames.shape[0] * frames.shape[1]
    count = min(frames.n_frames, max(2, MOVIE_BYTES // frame_bytes))
    first = (frames.n_frames - count) // 2
    movie = torch.stack([planes_of(frames, first + t).half() for t in range(count)])
    planes: Movie = without_copies(movie).numpy()
    return planes


def crop_side(movies: Sequence[Movie], most: int) -> int:
    """Return the side of crops that fit into every movie, a multiple of the stride if it can be."""
    side = min(most, *(length for movie in movies for length in movie.shape[2:]))
    return max(side // STRIDE * STRIDE, min(side, STRIDE))


def cut_clip(
    random: np.random.Generator, movie: Movie, *, ages: Sequence[int], side: int
) -> torch.Tensor:
    """Cut a window out of a frame and of earlier or of later ones: (F, 3, S, S), that frame last.

    It is seen larger or smaller than it is, within `ZOOMS`.

    Parameters
    ----------
    random
        Source of all choices, also of a mirrored or turned view, and of how large it is.
    movie
        Where to cut.
    ages
        Of the others in frames; those that the movie is too short for are as old as can be.
    side
        Of the window, S, as it is seen.
    """
    n_frames, _, height, width = movie.shape
    furthest = min(max(ages), n_frames - 1)
    t = int(random.integers(furthest, n_frames))
    order = [t - min(age, furthest) for age in ages] + [t]
    if random.random() < 0.5:
        order = [n_frames - 1 - frame for frame in order]
    zoom = math.exp(random.uniform(*np.log(ZOOMS)))
    length = min(max(1, round(side / zoom)), height, width)
    rows, columns = (_with_margin(random, length, side, whole) for whole in (height, width))
    planes = torch.from_numpy(movie[order][:, :, rows.cut, columns.cut].astype(np.float32))
    if length != side:
        size = (rows.size, columns.size)
        planes = functional.interpolate(planes, size, mode="bilinear", antialias=length > side)
    shown = torch.stack([show(plane, bands=True) for plane in planes])
    clip = shown[:, :, rows.kept, columns.kept]
    turned = torch.rot90(clip, int(random.integers(4)), dims=(2, 3))
    return turned.flip(3) if random.random() < 0.5 else turned


class _Stretch(NamedTuple):
    """Part of an axis that is cut with a margin, its size as it is seen, and what is kept then."""

    cut: slice
    size: int
    kept: slice


def _with_margin(random: np.random.Generator, length: int, side: int, whole: int) -> _Stretch:
    """Choose `length` pixels of the `whole`, to be seen as `side`."""
    start, zoom = int(random.integers(whole - length + 1)), side / length
    margin = math.ceil(MARGIN / zoom)
    first, last = max(0, start - margin), min(whole, start + length + margin)
    skipped = round((start - first) * zoom)
    return _Stretch(
        slice(first, last), round((last - first) * zoom), slice(skipped, skipped + side)
    )

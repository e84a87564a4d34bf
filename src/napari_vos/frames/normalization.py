"""One range of grey values for a whole movie.

Frames are never stretched one by one: that flickers. Two grey values of the
movie, found on a fixed sample, become 0 and 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_N_SAMPLE_FRAMES = 16
_GRID = 256
_LOW, _HIGH = 5, 998  # thousandths of the pixels


class Normalization(TypedDict):
    """What becomes 0 and 1, for each channel; ready for JSON.

    Attributes
    ----------
    channels
        Indices of the channels.
    low, high
        The grey values that become 0 and 1; equal if the movie is constant.
    """

    channels: list[int]
    low: list[float]
    high: list[float]


class Sample(NamedTuple):
    """What a sample of frames tells about the movie.

    Attributes
    ----------
    fingerprint
        Hash of the sample.
    normalization
        The range of grey values.
    """

    fingerprint: str
    normalization: Normalization


def sample_movie(
    read: Callable[[int], NDArray[Any]], n_frames: int, channels: Sequence[int]
) -> Sample:
    """Look at some frames, the same ones whatever the container and its chunks.

    Parameters
    ----------
    read
        Gives frame t as (C, Y, X).
    n_frames
        Number of frames of the movie.
    channels
        The channels to normalise.
    """
    indices = np.unique(np.linspace(0, n_frames - 1, _N_SAMPLE_FRAMES).round().astype(int))
    digest = blake2b(digest_size=16)
    pixels: list[NDArray[Any]] = []
    for t in indices.tolist():
        frame = read(t)
        if not pixels:
            digest.update(repr((n_frames, frame.shape, frame.dtype.kind, frame.itemsize)).encode())
        digest.update(np.ascontiguousarray(frame, frame.dtype.newbyteorder("<")).data)
        step_y, step_x = (-(-length // _GRID) for length in frame.shape[1:])
        pixels.append(frame[list(channels), ::step_y, ::step_x].reshape(len(channels), -1))
    ranges = [_range(np.concatenate(channel)) for channel in zip(*pixels, strict=True)]
    return Sample(
        digest.hexdigest(),
        Normalization(
            channels=list(channels),
            low=[low for low, _ in ranges],
            high=[high for _, high in ranges],
        ),
    )


def _range(values: NDArray[Any]) -> tuple[float, float]:
    """Return two of the `values` themselves: scaling these scales the range, exactly."""
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0, 0.0
    values = np.sort(values)
    last = values.size - 1
    low, high = values[_LOW * last // 1000], values[-(-_HIGH * last // 1000)]
    if low == high:  # few bright pixels on an even ground
        low, high = values[0], values[last]
    return float(low), float(high)


def normalize(frame: NDArray[Any], normalization: Normalization) -> NDArray[np.float32]:
    """Map the range of the movie to 0 to 1, without clipping.

    The arithmetic is in double precision for any dtype, so that a movie scaled
    by a power of two gives the same numbers, bit for bit.

    Parameters
    ----------
    frame
        (C, Y, X), any real dtype.
    normalization
        The range of the movie.

    Returns
    -------
    ndarray
        (C', Y, X) float32, finite: the chosen channels. NaN and infinity give
        0, and so does a channel that is constant on this frame.
    """
    result = np.zeros((len(normalization["channels"]), *frame.shape[1:]), np.float32)
    for position, channel in enumerate(normalization["channels"]):
        plane, target = frame[channel], result[position]
        low, high = normalization["low"][position], normalization["high"][position]
        if low == high or plane.min() == plane.max():
            continue
        scaled = plane.astype(np.float64)
        scaled -= low
        scaled /= high - low
        with np.errstate(over="ignore"):
            target[...] = scaled
        target[~np.isfinite(target)] = 0
    return result

"""F: how well two outlines agree, as the DAVIS benchmark defines it."""

from __future__ import annotations

from math import ceil, hypot
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 0.008
"""How far outlines may lie apart, as a part of the frame's diagonal."""


def boundary_accuracy(
    result: NDArray[np.bool_], truth: NDArray[np.bool_], *, tolerance: float = TOLERANCE
) -> float:
    """Return F, the harmonic mean of precision and recall of a mask's boundary.

    A boundary pixel of one mask is matched if a boundary pixel of the other
    lies within a disk around it, whose radius is the tolerance rounded up to
    whole pixels. Precision is the matched share of the result's boundary,
    recall that of the truth's. What touches the frame's border has no boundary
    there.

    Parameters
    ----------
    result, truth
        (Y, X) bool, whole frames.
    tolerance
        Part of the frame's diagonal.

    Returns
    -------
    float
        In [0, 1]; 1 if neither has a boundary, 0 if one alone has.

    References
    ----------
    Perazzi et al., A Benchmark Dataset and Evaluation Methodology for Video
    Object Segmentation, CVPR 2016.
    """
    radius = matching_radius((truth.shape[0], truth.shape[1]), tolerance)
    return match_boundaries(boundary_map(result), boundary_map(truth), radius)


def matching_radius(shape: tuple[int, int], tolerance: float = TOLERANCE) -> int:
    """Return the tolerance in pixels for frames of this (Y, X) shape."""
    return ceil(tolerance * hypot(*shape))


def boundary_map(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the one pixel wide boundary of a mask.

    A pixel belongs to it if its right, lower or lower right neighbour lies on
    the other side of the mask's edge.

    Parameters
    ----------
    mask
        (Y, X) bool.
    """
    boundary = np.zeros(mask.shape, np.bool_)
    boundary[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    boundary[:-1] |= mask[:-1] ^ mask[1:]
    boundary[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return boundary


def match_boundaries(result: NDArray[np.bool_], truth: NDArray[np.bool_], radius: int) -> float:
    """Return F of two boundary maps.

    Parameters
    ----------
    result, truth
        (Y, X) bool, as `boundary_map` returns them.
    radius
        Pixels up to which two boundary pixels match.
    """
    n_result, n_truth = np.count_nonzero(result), np.count_nonzero(truth)
    if not n_result or not n_truth:
        return float(n_result == n_truth)
    precision = np.count_nonzero(result & _near(truth, radius)) / n_result
    recall = np.count_nonzero(truth & _near(result, radius)) / n_truth
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def _near(boundary: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Return what a dilation with a disk gives; the distances cost less than the disk."""
    distance = ndimage.distance_transform_edt(~boundary)
    near: NDArray[np.bool_] = distance < radius + 1e-6
    return near

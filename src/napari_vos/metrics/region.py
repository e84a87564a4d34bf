"""J: how well two regions overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def region_similarity(result: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return J, the Jaccard index of two masks.

    Parameters
    ----------
    result, truth
        (Y, X) bool.

    Returns
    -------
    float
        Intersection over union in [0, 1]; 1 if both are empty.
    """
    union = np.count_nonzero(result | truth)
    return np.count_nonzero(result & truth) / union if union else 1.0

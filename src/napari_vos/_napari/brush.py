"""What a labels layer tells of a stroke that has ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def painted_frames(edits: Iterable[Any], axis: int) -> set[int]:
    """Return the frames on which pixels were changed.

    Parameters
    ----------
    edits
        The value of the layer's event `paint`: each edit begins with the indices of
        its pixels, one array or slice for each axis.
    axis
        The layer's axis of time.
    """
    frames: set[int] = set()
    for edit in edits:
        where = edit[0][axis]
        if isinstance(where, slice):  # the brush, the bucket and the polygon tell their box
            frames.update(range(where.start, where.stop))
        else:
            frames.update(np.unique(where).tolist())
    return frames

"""Simulated movies under File > Open Sample."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_vos.simulation import sample

LayerData = tuple[Any, dict[str, Any], str]


def nuclei() -> list[LayerData]:
    """Return moving nuclei in fluorescence, with the masks of the first frame."""
    movie = sample("nuclei")
    prompts = np.zeros_like(movie.labels)
    prompts[0] = movie.labels[0]
    axes = {"axis_labels": ("t", "y", "x")}
    return [
        (movie.images, {"name": "nuclei", **axes}, "image"),
        (prompts, {"name": "nuclei masks", **axes}, "labels"),
    ]

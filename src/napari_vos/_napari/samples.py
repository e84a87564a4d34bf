"""Simulated movies under File > Open Sample."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_vos.simulation import sample

LayerData = tuple[Any, dict[str, Any], str]


def nuclei() -> list[LayerData]:
    """Return moving nuclei in fluorescence."""
    return _layers("nuclei")


def phase() -> list[LayerData]:
    """Return crawling cells in phase contrast."""
    return _layers("phase")


def dic() -> list[LayerData]:
    """Return cells in differential interference contrast."""
    return _layers("dic")


def _layers(name: str) -> list[LayerData]:
    """Return the images of a movie, and the masks of its first frame to start from."""
    movie = sample(name)
    prompts = np.zeros_like(movie.labels)
    prompts[0] = movie.labels[0]
    axes = {"axis_labels": ("t", "y", "x")}
    return [
        (movie.images, {"name": name, **axes}, "image"),
        (prompts, {"name": f"{name} masks", **axes}, "labels"),
    ]

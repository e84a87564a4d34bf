"""Where images and results lie in a window: kept with the session, given to layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_vos._napari.snapshot import ImageSnapshot

_NAMES = ("units", "axis_labels")
"""What of a placement is words; the rest is numbers."""


def describe_placement(image: ImageSnapshot) -> dict[str, Any]:
    """Return what session.json says of where the images lie."""
    return {
        "axes": image.letters,
        "shape": list(image.shape),
        "layer": _to_json(image.placement),
    }


def placement_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `describe_placement` told, as a layer's constructor takes it."""
    return {
        name: tuple(value) if name in _NAMES else np.array(value)
        for name, value in about["layer"].items()
    }


def place(layer: Layer, placement: Mapping[str, Any]) -> None:
    """Let a layer lie where another does, if it doesn't yet."""
    here = {name: getattr(layer, name) for name in placement}
    if _to_json(here) != _to_json(placement):
        for name, value in placement.items():
            setattr(layer, name, value)


def _to_json(placement: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: [str(word) for word in value] if name in _NAMES else np.asarray(value).tolist()
        for name, value in placement.items()
    }

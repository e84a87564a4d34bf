"""The networks of MiVOS: propagation, fusion, scribble to mask (Cheng, Tai, Tang, CVPR 2021)."""

from napari_vos.networks.mivos.aggregation import aggregate
from napari_vos.networks.mivos.fusion import FusionNetwork
from napari_vos.networks.mivos.propagation import (
    PropagationNetwork,
    Query,
    attend_differences,
    sum_of_others,
)
from napari_vos.networks.mivos.reading import read_memories
from napari_vos.networks.mivos.scribble import ScribbleToMaskNetwork

__all__ = [
    "FusionNetwork",
    "PropagationNetwork",
    "Query",
    "ScribbleToMaskNetwork",
    "aggregate",
    "attend_differences",
    "read_memories",
    "sum_of_others",
]

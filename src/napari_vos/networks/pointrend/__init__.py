"""PointRend: masks predicted at points, where they are uncertain (Kirillov et al., CVPR 2020)."""

from napari_vos.networks.pointrend.head import LayeredPointHead, PointHead
from napari_vos.networks.pointrend.points import (
    centers_of,
    most_uncertain_cells,
    sample_points,
    uncertainty,
)
from napari_vos.networks.pointrend.semantic import SemanticPointRend, layers_of
from napari_vos.networks.pointrend.subdivision import (
    REFERENCE,
    SINGLE_LAYER,
    Form,
    doublings,
    halvings,
    subdivide,
)

__all__ = [
    "REFERENCE",
    "SINGLE_LAYER",
    "Form",
    "LayeredPointHead",
    "PointHead",
    "SemanticPointRend",
    "centers_of",
    "doublings",
    "halvings",
    "layers_of",
    "most_uncertain_cells",
    "sample_points",
    "subdivide",
    "uncertainty",
]

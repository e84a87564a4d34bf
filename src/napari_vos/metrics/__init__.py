"""How well masks agree with the truth: J, F, J&F and ghosts."""

from napari_vos.metrics.annotation import Annotation, find_annotation
from napari_vos.metrics.boundary import boundary_accuracy
from napari_vos.metrics.evaluation import evaluate
from napari_vos.metrics.region import region_similarity
from napari_vos.metrics.scores import ObjectScore, PairScore, Scores

__all__ = [
    "Annotation",
    "ObjectScore",
    "PairScore",
    "Scores",
    "boundary_accuracy",
    "evaluate",
    "find_annotation",
    "region_similarity",
]

"""How well masks agree with the truth: J, F, J&F, ghosts; AP, recall and SEG of instances."""

from napari_vos.metrics.annotation import Annotation, find_annotation
from napari_vos.metrics.boundary import boundary_accuracy
from napari_vos.metrics.evaluation import evaluate
from napari_vos.metrics.instances import InstanceScores, evaluate_instances
from napari_vos.metrics.region import region_similarity
from napari_vos.metrics.scores import ObjectScore, PairScore, Scores

__all__ = [
    "Annotation",
    "InstanceScores",
    "ObjectScore",
    "PairScore",
    "Scores",
    "boundary_accuracy",
    "evaluate",
    "evaluate_instances",
    "find_annotation",
    "region_similarity",
]

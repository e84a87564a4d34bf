"""Suppression: of several candidates for one instance the best is kept."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from napari_vos.networks.yolact.boxes import intersection_over_union

TOP_K = 200
"""Candidates that are compared, the best ones of a class or of all."""

MAX_DETECTIONS = 100


class Candidates(NamedTuple):
    """Priors that may show an instance; N of them.

    Attributes
    ----------
    boxes
        (N, 4) corners as shares of the image.
    scores
        (N, classes) in [0, 1], without the background.
    coefficients
        (N, 32).
    """

    boxes: Tensor
    scores: Tensor
    coefficients: Tensor


class Detections(NamedTuple):
    """Instances, the best first; D of them.

    Attributes
    ----------
    boxes
        (D, 4) corners as shares of the image.
    scores
        (D,) in [0, 1].
    classes
        (D,) integers, from 0 without the background.
    coefficients
        (D, 32).
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    coefficients: Tensor


def suppress_fast(
    candidates: Candidates,
    *,
    overlap: float = 0.5,
    top_k: int = TOP_K,
    max_detections: int | None = MAX_DETECTIONS,
) -> Detections:
    """Keep in each class what overlaps with nothing better.

    What is suppressed itself suppresses too, so all is done at once; a prior can
    come out under several classes.

    Parameters
    ----------
    candidates
        Of one image.
    overlap
        IoU above which the worse of two is dropped.
    top_k
        Candidates of a class that are compared.
    max_detections
        The best so many of all classes are kept; None for all.
    """
    scores, order = candidates.scores.T.sort(dim=1, descending=True, stable=True)
    scores, order = scores[:, :top_k], order[:, :top_k]
    kept = _nothing_better(candidates.boxes[order], overlap)
    classes = torch.arange(len(scores), device=scores.device)[:, None].expand_as(order)
    return _best(candidates, order[kept], scores[kept], classes[kept], max_detections)


def suppress_across_classes(
    candidates: Candidates,
    *,
    overlap: float = 0.5,
    top_k: int = TOP_K,
    max_detections: int | None = None,
) -> Detections:
    """Keep what overlaps with nothing better of any class; see `suppress_fast`."""
    scores, classes = candidates.scores.max(dim=1)
    scores, order = scores.sort(descending=True, stable=True)
    scores, order = scores[:top_k], order[:top_k]
    kept = _nothing_better(candidates.boxes[order], overlap)
    return _best(candidates, order[kept], scores[kept], classes[order[kept]], max_detections)


def suppress_one_by_one(
    candidates: Candidates,
    *,
    size: int,
    score: float = 0.05,
    overlap: float = 0.5,
    max_detections: int | None = MAX_DETECTIONS,
) -> Detections:
    """Keep in each class the best, drop what overlaps with it, and so on.

    Parameters
    ----------
    candidates
        Of one image.
    size
        Side of the network's input: boxes are compared in its pixels, corners
        included.
    score
        What has no more in a class isn't one of it.
    overlap
        IoU from which on the worse of two is dropped.
    max_detections
        The best so many of all classes are kept; None for all.
    """
    boxes = candidates.boxes * size
    kept, classes = [], []
    for class_index, scores in enumerate(candidates.scores.T):
        indices = torch.nonzero(scores > score)[:, 0]
        indices = indices[scores[indices].argsort(descending=True, stable=True)]
        while len(indices):
            kept.append(indices[0])
            classes.append(class_index)
            best, others = boxes[indices[:1]], boxes[indices[1:]]
            indices = indices[1:][intersection_over_union(best, others, pixel=1)[0] < overlap]
    prior = torch.stack(kept) if kept else boxes.new_zeros(0, dtype=torch.long)
    class_of = torch.tensor(classes, device=boxes.device, dtype=torch.long)
    return _best(candidates, prior, candidates.scores[prior, class_of], class_of, max_detections)


def _nothing_better(boxes: Tensor, overlap: float) -> Tensor:
    """Say of each of (..., N, 4), the best first, whether it overlaps with no better one."""
    if boxes.shape[-2] == 0:
        return boxes.new_ones(boxes.shape[:-1], dtype=torch.bool)
    with_better = intersection_over_union(boxes, boxes).triu(diagonal=1)
    return with_better.amax(dim=-2) <= overlap


def _best(
    candidates: Candidates,
    prior: Tensor,
    scores: Tensor,
    classes: Tensor,
    max_detections: int | None,
) -> Detections:
    order = scores.argsort(descending=True, stable=True)[:max_detections]
    prior = prior[order]
    return Detections(
        candidates.boxes[prior], scores[order], classes[order], candidates.coefficients[prior]
    )

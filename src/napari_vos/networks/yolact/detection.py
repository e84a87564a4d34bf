"""From what the network predicts to instances: candidates first, masks at last."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from napari_vos.networks.yolact.boxes import decode, in_pixels
from napari_vos.networks.yolact.masks import combine, crop, resize
from napari_vos.networks.yolact.suppression import Candidates, Detections

if TYPE_CHECKING:
    from napari_vos.networks.yolact.network import Prediction

LOWEST_SCORE = 0.05
"""Priors whose best class has no more are never looked at again."""


class Instances(NamedTuple):
    """Instances on an image, the best first; D of them.

    Attributes
    ----------
    boxes
        (D, 4) int64 corners in pixels, inside the image.
    scores
        (D,) in [0, 1].
    mask_scores
        (D,): the scores times how well the masks are expected to fit, if
        that is predicted; else the scores.
    classes
        (D,) integers, from 0 without the background.
    masks
        (D, H, W) bool.
    """

    boxes: Tensor
    scores: Tensor
    mask_scores: Tensor
    classes: Tensor
    masks: Tensor


def select_candidates(
    prediction: Prediction, index: int = 0, *, score: float = LOWEST_SCORE
) -> Candidates:
    """Return the priors of one image whose best class has more than `score`."""
    scores = prediction.class_logits[index].softmax(dim=-1)[:, 1:]
    likely = scores.amax(dim=1) > score
    boxes = decode(prediction.boxes[index], prediction.priors)
    return Candidates(boxes[likely], scores[likely], prediction.coefficients[index][likely])


def finish(
    detections: Detections,
    prototypes: Tensor,
    size: tuple[int, int],
    *,
    score: float = 0,
    cropped: bool = True,
    score_masks: Callable[[Tensor], Tensor] | None = None,
) -> Instances:
    """Make masks at the size of the image.

    Parameters
    ----------
    detections
        Of one image.
    prototypes
        (H', W', 32) of the same.
    size
        (height, width) of the image.
    score
        Only what has more is kept.
    cropped
        Whether masks end at their boxes.
    score_masks
        The network that judges masks, see `MaskIouNetwork`.
    """
    kept = detections.scores > score
    boxes, scores, classes, coefficients = (values[kept] for values in detections)
    masks = combine(prototypes, coefficients)
    if cropped:
        masks = crop(masks, boxes)
    mask_scores = scores
    if score_masks is not None:
        fits = score_masks(masks[:, None])
        mask_scores = scores * fits.gather(1, classes[:, None])[:, 0]
    return Instances(
        in_pixels(boxes, size).to(torch.int64), scores, mask_scores, classes, resize(masks, size)
    )

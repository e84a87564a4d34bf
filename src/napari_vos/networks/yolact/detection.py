"""From what the network predicts to instances: candidates first, masks at last."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from napari_vos.networks.yolact.boxes import decode, in_pixels
from napari_vos.networks.yolact.masks import combine, crop, paste, resize
from napari_vos.networks.yolact.scores import softmax_scores
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
    prediction: Prediction,
    index: int = 0,
    *,
    score: float = LOWEST_SCORE,
    score_classes: Callable[[Tensor], Tensor] = softmax_scores,
) -> Candidates:
    """Return the priors of one image whose best class has more than `score`.

    Parameters
    ----------
    prediction
        Of a batch.
    index
        Of the image in it.
    score
        In [0, 1].
    score_classes
        One of `networks.yolact.scores`, as the network has learned.
    """
    scores = score_classes(prediction.class_logits[index])
    likely = scores.amax(dim=1) > score
    boxes = decode(prediction.boxes[index], prediction.priors)
    return Candidates(boxes[likely], scores[likely], prediction.coefficients[index][likely])


def small_masks(
    detections: Detections,
    prototypes: Tensor,
    *,
    cropped: bool = True,
    activation: Callable[[Tensor], Tensor] = torch.sigmoid,
    score_masks: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return masks (D, H', W') at the prototypes' size, and their scores (D,).

    What has more than 0.5 is inside.

    Parameters
    ----------
    detections
        Of one image.
    prototypes
        (H', W', 32) of the same.
    cropped
        Whether masks end at their boxes.
    activation
        One of `ACTIVATIONS`, as the network has learned.
    score_masks
        The network that judges masks, see `MaskIouNetwork`.
    """
    masks = combine(prototypes, detections.coefficients, activation)
    if cropped:
        masks = crop(masks, detections.boxes)
    if score_masks is None or not len(masks):
        return masks, detections.scores
    fits = score_masks(masks[:, None]).gather(1, detections.classes[:, None])[:, 0]
    return masks, detections.scores * fits


def finish(
    detections: Detections,
    prototypes: Tensor,
    size: tuple[int, int],
    *,
    score: float = 0,
    cropped: bool = True,
    activation: Callable[[Tensor], Tensor] = torch.sigmoid,
    score_masks: Callable[[Tensor], Tensor] | None = None,
) -> Instances:
    """Make masks at the size of the image.

    Parameters
    ----------
    detections, prototypes, cropped, activation, score_masks
        See `small_masks`. Without a pixel of prototypes masks are direct: they fill
        their boxes, and aren't scored.
    size
        (height, width) of the image.
    score
        Only what has more is kept.
    """
    kept = detections.scores > score
    detections = Detections(*(values[kept] for values in detections))
    if prototypes.numel():
        masks, mask_scores = small_masks(
            detections,
            prototypes,
            cropped=cropped,
            activation=activation,
            score_masks=score_masks,
        )
        masks = resize(masks, size)
    else:
        side = math.isqrt(detections.coefficients.shape[1])
        direct = detections.coefficients.reshape(-1, side, side)
        masks, mask_scores = paste(direct, detections.boxes, size) > 0.5, detections.scores
    return Instances(
        in_pixels(detections.boxes, size).to(torch.int64),
        detections.scores,
        mask_scores,
        detections.classes,
        masks,
    )

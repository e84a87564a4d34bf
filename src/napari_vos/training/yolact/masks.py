"""Losses of masks: how they fit, how well that is judged, how different coefficients are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from napari_vos.networks.yolact.boxes import to_centred
from napari_vos.networks.yolact.masks import combine, crop, cut_out, rescale, resize

if TYPE_CHECKING:
    from napari_vos.training.yolact.matching import Truth

MASK_CAP = 100
"""Masks of an image that the published models compare."""

SMALLEST_JUDGED = 25
"""Prototype pixels; smaller masks are not judged, since one pixel decides too much."""


class MaskTerms(NamedTuple):
    """What the masks of one image come to.

    Attributes
    ----------
    fit
        Scalar, a sum over positive priors.
    masks
        (P, H, W) in [0, 1]: the cropped masks of those priors, for judgement.
    truths
        (P, H, W) bool: what they should be.
    classes
        (P,) of the instances, from 0.
    """

    fit: Tensor
    masks: Tensor
    truths: Tensor
    classes: Tensor


@dataclass(frozen=True)
class MaskComparison:
    """How masks are compared with the truth; by itself as in the published models.

    Attributes
    ----------
    cap
        Masks of an image that are compared; of more so many are drawn, and count the more.
    cut
        The boxes at which masks are cut off, or "nothing". Direct masks fill the
        predicted boxes, or else the true ones.
    softens_truth
        Whether a pixel of the truth at the prototypes' size is the share that is
        covered, and not 0 or 1.
    per_box
        Whether a large instance counts as much as a small one, as if each were
        pooled to one size: the loss is per pixel of its true box. Else it is per
        pixel of the image.
    drops_empty
        Whether instances of which no pixel is left at the prototypes' size aren't
        compared.
    activation
        What makes masks of weighted prototypes. After the sigmoid they are compared
        by binary cross entropy, after any other by the smooth L1 distance.
    """

    cap: int = MASK_CAP
    cut: Literal["true boxes", "predicted boxes", "nothing"] = "true boxes"
    softens_truth: bool = False
    per_box: bool = True
    drops_empty: bool = False
    activation: Callable[[Tensor], Tensor] = torch.sigmoid


AS_PUBLISHED = MaskComparison()


def mask_terms(
    prototypes: Tensor,
    coefficients: Tensor,
    truth: Truth,
    instances: Tensor,
    *,
    comparison: MaskComparison = AS_PUBLISHED,
    predicted_boxes: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> MaskTerms:
    """Compare the masks of positive priors with the truth.

    Parameters
    ----------
    prototypes
        (H, W, 32) of one image; without a pixel if masks are direct.
    coefficients
        (P, 32) of its positive priors; direct masks (P, S·S), which are compared with
        what their boxes show of the truth, per pixel of the mask.
    truth
        Its instances.
    instances
        (P,): which one each prior is to show.
    comparison
        How.
    predicted_boxes
        (P, 4) corners as shares of the image, if masks are cut off at them.
    generator
        Of random numbers.
    """
    if comparison.drops_empty and prototypes.numel():
        small = rescale(
            truth.masks.to(coefficients.dtype), (prototypes.shape[0], prototypes.shape[1])
        )
        is_left = (small > (0 if comparison.softens_truth else 0.5)).flatten(1).any(dim=1)
        kept = is_left[instances]
        coefficients, instances = coefficients[kept], instances[kept]
        predicted_boxes = None if predicted_boxes is None else predicted_boxes[kept]
    n_positive = len(instances)
    if n_positive > comparison.cap:
        drawn = torch.randperm(n_positive, generator=generator)[: comparison.cap]
        drawn = drawn.to(instances.device)
        coefficients, instances = coefficients[drawn], instances[drawn]
        predicted_boxes = None if predicted_boxes is None else predicted_boxes[drawn]
    masks, boxes = truth.masks.to(coefficients.dtype), truth.boxes[instances]
    seen = boxes
    if comparison.cut == "predicted boxes" and predicted_boxes is not None:
        seen = predicted_boxes.detach()
    if prototypes.numel():
        predicted = combine(prototypes, coefficients, comparison.activation)
        if comparison.cut != "nothing":
            predicted = crop(predicted, seen)
        shares = rescale(masks, (prototypes.shape[0], prototypes.shape[1]))[instances]
    else:
        side = math.isqrt(coefficients.shape[1])
        predicted = coefficients.reshape(-1, side, side)
        shares = cut_out(masks[instances], seen, side)
    truths = shares > 0.5
    wanted = shares if comparison.softens_truth else truths.to(predicted.dtype)
    compare = (
        functional.binary_cross_entropy
        if comparison.activation is torch.sigmoid
        else functional.smooth_l1_loss
    )
    distance = compare(predicted, wanted, reduction="none").mean(dim=(1, 2))
    if comparison.per_box and prototypes.numel():
        distance = distance / to_centred(boxes)[:, 2:].prod(dim=1)
    fit = distance.sum()
    if len(instances):
        fit = fit * (n_positive / len(instances))
    return MaskTerms(fit, predicted, truths, truth.classes[instances])


def true_ious(terms: MaskTerms) -> Tensor:
    """Return (P,): the IoU of the thresholded masks with the truth."""
    found = terms.masks > 0.5
    shared = (found & terms.truths).sum(dim=(1, 2))
    either = (found | terms.truths).sum(dim=(1, 2))
    return shared / either.clamp(min=1)


def judged(terms: MaskTerms) -> Tensor:
    """Say (P,) which masks are large enough for a judgement."""
    return terms.truths.sum(dim=(1, 2)) > SMALLEST_JUDGED


def semantic_loss(
    logits: Tensor, masks: Tensor, classes: Tensor, unknown: Tensor | None = None
) -> Tensor:
    """Return the binary cross entropy per pixel of where each class is, summed over classes.

    Parameters
    ----------
    logits
        (classes, H, W) of one image.
    masks, classes
        (G, H', W') and (G,): the true instances, without crowds.
    unknown
        (H', W') bool: where it isn't known what there is, which counts for nothing.
    """
    size = (logits.shape[-2], logits.shape[-1])
    truth = torch.zeros_like(logits)
    small = resize(masks.to(logits.dtype), size).to(logits.dtype)
    for class_index, mask in zip(classes.tolist(), small, strict=True):
        truth[class_index] = torch.maximum(truth[class_index], mask)
    known = None if unknown is None else ~resize(unknown[None].to(logits.dtype), size)
    total = functional.binary_cross_entropy_with_logits(
        logits, truth, weight=None if known is None else known.to(logits.dtype), reduction="sum"
    )
    return total / (size[0] * size[1])


def diversity_loss(coefficients: Tensor, instances: Tensor) -> Tensor:
    """Return how unlike the coefficients of one instance are, and how alike those of several.

    Parameters
    ----------
    coefficients
        (P, 32) of the positive priors of one image.
    instances
        (P,): which instance each is to show.

    Returns
    -------
    Tensor
        The sum over priors of the mean over all priors of a distance in [0, 1]:
        the cosine's, or its complement between different instances.
    """
    directions = functional.normalize(coefficients, dim=1)
    likeness = (1 + directions @ directions.T) / 2
    same = instances[:, None] == instances
    return torch.where(same, 1 - likeness, likeness).sum() / max(len(instances), 1)

"""Losses of masks: how they fit, how well that is judged, how different coefficients are."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from napari_vos.networks.yolact.boxes import to_centred
from napari_vos.networks.yolact.masks import combine, crop, resize

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


def mask_terms(
    prototypes: Tensor,
    coefficients: Tensor,
    boxes: Tensor,
    masks: Tensor,
    classes: Tensor,
    instances: Tensor,
    *,
    cap: int,
    generator: torch.Generator | None = None,
) -> MaskTerms:
    """Compare the masks of positive priors with the truth, inside its boxes.

    Parameters
    ----------
    prototypes
        (H, W, 32) of one image.
    coefficients
        (P, 32) of its positive priors.
    boxes, masks, classes
        (G, 4) corners, (G, H', W'), (G,): the true instances.
    instances
        (P,): which one each prior is to show.
    cap
        Of more priors so many are drawn at random, and count the more.
    generator
        Of random numbers.

    Returns
    -------
    MaskTerms
        `fit` is the binary cross entropy per pixel of the true box: a large
        instance counts as much as a small one.
    """
    n_positive = len(instances)
    if n_positive > cap:
        drawn = torch.randperm(n_positive, generator=generator)[:cap].to(instances.device)
        coefficients, instances = coefficients[drawn], instances[drawn]
    height, width = prototypes.shape[:2]
    truths = resize(masks.to(prototypes.dtype), (height, width))[instances]
    predicted = crop(combine(prototypes, coefficients), boxes[instances])
    entropy = functional.binary_cross_entropy(
        predicted, truths.to(predicted.dtype), reduction="none"
    ).sum(dim=(1, 2))
    sides = to_centred(boxes[instances])[:, 2:]
    fit = (entropy / (sides[:, 0] * width * sides[:, 1] * height)).sum()
    if len(instances):
        fit = fit * (n_positive / len(instances))
    return MaskTerms(fit, predicted, truths, classes[instances])


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

"""The loss of YOLACT: boxes, classes, masks, and what helps them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from napari_vos.training.yolact.confidence import mined_cross_entropy
from napari_vos.training.yolact.masks import (
    MaskTerms,
    diversity_loss,
    judged,
    mask_terms,
    semantic_loss,
    true_ious,
)
from napari_vos.training.yolact.matching import BACKGROUND, Match, Truth, match

if TYPE_CHECKING:
    from napari_vos.networks.yolact import Prediction

BOX_WEIGHT = 1.5
MASK_WEIGHT = 6.125
MASK_IOU_WEIGHT = 25.0
"""Of the published models; the other terms have weight 1."""

MASK_CAP = 100
"""Masks of an image that are compared; of more so many are drawn."""


class Losses(NamedTuple):
    """The terms of the loss, scalars, weighted.

    Attributes
    ----------
    boxes, classes, masks
        Per positive prior.
    mask_ious
        Per positive prior: how well the fit of masks is judged. It teaches the
        judging network alone.
    semantics
        Per image.
    diversity
        Per positive prior.
    """

    boxes: Tensor
    classes: Tensor
    masks: Tensor
    mask_ious: Tensor
    semantics: Tensor
    diversity: Tensor

    @property
    def total(self) -> Tensor:
        """The sum, to be made small."""
        return torch.stack(list(self)).sum()


@dataclass(frozen=True)
class YolactLoss:
    """The loss of a batch.

    Attributes
    ----------
    class_loss
        Of logits and targets: one of `training.yolact.confidence`.
    diversity_weight
        Of the likeness of coefficients; 0 in the published models.
    mask_cap
        Masks of an image that are compared; of more so many are drawn.
    generator
        Of random numbers.
    """

    class_loss: Callable[[Tensor, Tensor], Tensor] = mined_cross_entropy
    diversity_weight: float = 0
    mask_cap: int = MASK_CAP
    generator: torch.Generator | None = None

    def __call__(
        self,
        prediction: Prediction,
        truths: Sequence[Truth],
        *,
        score_masks: Callable[[Tensor], Tensor] | None = None,
    ) -> Losses:
        """Return the loss.

        Parameters
        ----------
        prediction
            Of a batch.
        truths
            What is on each of its images.
        score_masks
            The network that judges masks, see `MaskIouNetwork`.
        """
        matches = [match(truth, prediction.priors) for truth in truths]
        targets = Match(*(torch.stack(values) for values in zip(*matches, strict=True)))
        positive = targets.classes > BACKGROUND
        n_positive = positive.sum().clamp(min=1)
        nothing = prediction.boxes.sum() * 0  # keeps its gradient where there is no positive prior
        fit, judgement, semantics, diversity = nothing, nothing, nothing, nothing
        for i, truth in enumerate(truths):
            coefficients = prediction.coefficients[i][positive[i]]
            instances = targets.instances[i][positive[i]]
            semantics = semantics + semantic_loss(
                prediction.semantic_logits[i], truth.masks, truth.classes, truth.unknown
            )
            if not len(instances):
                continue
            terms = mask_terms(
                prediction.prototypes[i],
                coefficients,
                truth.boxes,
                truth.masks,
                truth.classes,
                instances,
                cap=self.mask_cap,
                generator=self.generator,
            )
            fit = fit + terms.fit
            if score_masks is not None:
                judgement = judgement + _judgement_loss(score_masks, terms)
            diversity = diversity + diversity_loss(coefficients, instances)
        boxes = functional.smooth_l1_loss(
            prediction.boxes[positive], targets.codes[positive], reduction="sum"
        )
        return Losses(
            BOX_WEIGHT * boxes / n_positive,
            self.class_loss(prediction.class_logits, targets.classes) / n_positive,
            MASK_WEIGHT * fit / n_positive,
            MASK_IOU_WEIGHT * judgement / n_positive,
            semantics / len(truths),
            self.diversity_weight * diversity / n_positive,
        )


def _judgement_loss(score_masks: Callable[[Tensor], Tensor], terms: MaskTerms) -> Tensor:
    chosen = judged(terms)
    expected = score_masks(terms.masks[chosen, None].detach())
    expected = expected.gather(1, terms.classes[chosen, None])[:, 0]
    return functional.smooth_l1_loss(expected, true_ious(terms)[chosen], reduction="sum")

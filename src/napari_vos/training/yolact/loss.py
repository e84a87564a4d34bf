"""The loss of YOLACT: boxes, classes, masks, and what helps them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from napari_vos.networks.yolact.boxes import decode
from napari_vos.training.yolact.confidence import mined_cross_entropy
from napari_vos.training.yolact.masks import (
    AS_PUBLISHED,
    MaskComparison,
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
    prototypes
        Per pixel or prototype.
    existence
        Per image: which classes are anywhere.
    """

    boxes: Tensor
    classes: Tensor
    masks: Tensor
    mask_ious: Tensor
    semantics: Tensor
    diversity: Tensor
    prototypes: Tensor
    existence: Tensor

    @property
    def total(self) -> Tensor:
        """The sum, to be made small."""
        return torch.stack(list(self)).sum()


@dataclass(frozen=True)
class YolactLoss:
    """The loss of a batch; by itself that of the published models.

    Attributes
    ----------
    class_loss
        Of logits and targets: one of `training.yolact.confidence`.
    diversity_weight
        Of the likeness of coefficients, or of the codes of instances where the
        network has some; 0 in the published models.
    masks
        How masks are compared.
    judged_cap
        Masks of an image whose judgement is compared, drawn among those of `masks`;
        None for all.
    prototype_loss
        Of the prototypes: one of `training.yolact.prototypes`, or None.
    generator
        Of random numbers.
    """

    class_loss: Callable[[Tensor, Tensor], Tensor] = mined_cross_entropy
    diversity_weight: float = 0
    masks: MaskComparison = AS_PUBLISHED
    judged_cap: int | None = None
    prototype_loss: Callable[[Tensor], Tensor] | None = None
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

        Raises
        ------
        ValueError
            If an instance is of a class that the network doesn't know.
        """
        _check_classes(prediction, truths)
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
                truth,
                instances,
                comparison=self.masks,
                predicted_boxes=decode(prediction.boxes[i], prediction.priors)[positive[i]],
                generator=self.generator,
            )
            fit = fit + terms.fit
            if score_masks is not None:
                judgement = judgement + self._judgement_loss(score_masks, terms)
            if prediction.instance_codes is not None:
                coefficients = prediction.instance_codes[i][positive[i]]
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
            nothing if self.prototype_loss is None else self.prototype_loss(prediction.prototypes),
            nothing
            if prediction.existence_logits is None
            else _existence_loss(prediction.existence_logits, truths),
        )

    def _judgement_loss(self, score_masks: Callable[[Tensor], Tensor], terms: MaskTerms) -> Tensor:
        chosen = judged(terms).nonzero()[:, 0]
        n_large = len(chosen)
        if self.judged_cap is not None and n_large > self.judged_cap:
            drawn = torch.randperm(n_large, generator=self.generator)[: self.judged_cap]
            chosen = chosen[drawn.to(chosen.device)]
        expected = score_masks(terms.masks[chosen, None].detach())
        expected = expected.gather(1, terms.classes[chosen, None])[:, 0]
        loss = functional.smooth_l1_loss(expected, true_ious(terms)[chosen], reduction="sum")
        return loss * (n_large / max(len(chosen), 1))


def _existence_loss(logits: Tensor, truths: Sequence[Truth]) -> Tensor:
    """Return the binary cross entropy of which classes are in an image, summed over classes."""
    is_there = torch.zeros_like(logits)
    for row, truth in zip(is_there, truths, strict=True):
        row[truth.classes] = 1
    loss = functional.binary_cross_entropy_with_logits(logits, is_there, reduction="sum")
    return loss / len(truths)


def _check_classes(prediction: Prediction, truths: Sequence[Truth]) -> None:
    n_known = prediction.class_logits.shape[-1] - 1
    largest = max((int(truth.classes.max()) for truth in truths if len(truth.classes)), default=0)
    if largest >= n_known:
        raise ValueError(
            f"An instance is of class {largest}, and the network knows the classes 0 to "
            f"{n_known - 1}."
        )

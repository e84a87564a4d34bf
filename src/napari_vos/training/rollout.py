"""Running a clip through the network the way the engine does, with its own predictions fed back."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from napari_vos.engines.windows import (
    WINDOW_SIZE,
    crop_windows,
    mark_border,
    paste_windows,
    standardize,
)
from napari_vos.training.clips import CANVAS_SIZE, Clips

if TYPE_CHECKING:
    from napari_vos.networks.compact import CompactNetwork


class Losses(NamedTuple):
    """Scalars, each a mean over the batch and the predicted frames."""

    mask: Tensor
    presence: Tensor
    quality: Tensor
    jaccard: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.mask + 0.5 * self.presence + 0.1 * self.quality


def roll_out(network: CompactNetwork, clips: Clips, generator: torch.Generator) -> Losses:
    """Predict the frames of `clips` one after the other and compare.

    Parameters
    ----------
    network
        In training mode.
    clips
        (B, F, ...) with F at least 3.
    generator
        Source of window jitter and of the damage done to known masks.
    """
    batch, length = clips.masks.shape[:2]

    def jitter(scale: float, *shape: int) -> Tensor:
        return scale * torch.randn(batch, *shape, generator=generator).to(clips.masks.device)

    sides = WINDOW_SIZE * torch.exp(jitter(0.1))
    reference_center = _centroid(clips.masks[:, 0]) + jitter(3.0, 2)
    keys, values = network.memorize(*_view(clips, 0, clips.masks[:, 0], reference_center, sides))
    previous_mask = _damage(clips.masks[:, 1], jitter(0.08), jitter(2.5, 2), generator)
    previous_center = _centroid(previous_mask)
    collected = []
    for t in range(2, length):
        center = previous_center + jitter(3.5, 2)
        image, visible = _image(clips, t, center, sides)
        seen = _view(clips, t - 1, previous_mask, previous_center, sides)
        prediction = network(image * visible, *seen, keys, values)
        target = crop_windows(clips.masks[:, t], center, sides) * visible
        whole = clips.masks[:, t].sum(dim=(1, 2, 3)) * (WINDOW_SIZE / sides) ** 2
        collected.append(_losses(prediction, target, visible, whole, clips.presence[:, t]))
        with torch.no_grad():
            pasted = paste_windows(prediction.mask, center, sides, (CANVAS_SIZE, CANVAS_SIZE))
            pasted = pasted * clips.visible[:, t]
            kept = pasted.sum(dim=(1, 2, 3), keepdim=True) > 20
            previous_mask = torch.where(kept, pasted, previous_mask)
            previous_center = torch.where(kept[:, :, 0, 0], _centroid(pasted), center)
        if t % 3 == 0 and t + 1 < length:
            more_keys, more_values = network.memorize(
                *_view(clips, t, previous_mask, previous_center, sides)
            )
            keys, values = (
                torch.cat([keys, more_keys], dim=2),
                torch.cat([values, more_values], dim=2),
            )
        sides = sides * torch.exp(jitter(0.04))
    return Losses(*(torch.stack(part).mean() for part in zip(*collected, strict=True)))


def _view(
    clips: Clips, t: int, mask: Tensor, center: Tensor, sides: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    image, visible = _image(clips, t, center, sides)
    known = torch.cat([mask, clips.others[:, t]], dim=1)
    mask, others = crop_windows(known, center, sides).chunk(2, dim=1)
    image, others = mark_border(image, others, visible)
    return image, mask, others


def _image(clips: Clips, t: int, center: Tensor, sides: Tensor) -> tuple[Tensor, Tensor]:
    image = standardize(crop_windows(clips.images[:, t], center, sides, outside="border"))
    visible = crop_windows(clips.visible[:, t], center, sides) > 0.5
    return image, visible.to(image.dtype)


def _centroid(mask: Tensor) -> Tensor:
    """Return the (B, 2) centroid (y, x) of (B, 1, H, W) masks; the middle if there is nothing."""
    total = mask.sum(dim=(1, 2, 3)) + 1e-6
    rows = torch.arange(mask.shape[2], dtype=mask.dtype, device=mask.device)
    columns = torch.arange(mask.shape[3], dtype=mask.dtype, device=mask.device)
    y = (mask.sum(dim=(1, 3)) * rows).sum(1) / total
    x = (mask.sum(dim=(1, 2)) * columns).sum(1) / total
    middle = rows.new_tensor([(mask.shape[2] - 1) / 2, (mask.shape[3] - 1) / 2])
    return torch.where((total > 1)[:, None], torch.stack([y, x], dim=1), middle)


def _damage(mask: Tensor, stretch: Tensor, shift: Tensor, generator: torch.Generator) -> Tensor:
    """Shift, scale, dent and blur half of the masks, as propagation would have, some of them badly.

    Where the mask before can't be trusted, only memory and image tell the outline.
    """
    damaged = (torch.rand(len(mask), generator=generator) < 0.5).to(mask.device)
    strength = torch.exp(0.7 * torch.randn(len(mask), generator=generator)).to(mask.device)
    strength = torch.where(damaged, strength, 0.0)
    center = _centroid(mask) + shift * strength[:, None]
    sides = CANVAS_SIZE * torch.exp(stretch * strength)
    middle = torch.full_like(center, (CANVAS_SIZE - 1) / 2)
    # Scale around the object's own centre: cut there, put back there.
    cut = crop_windows(mask, center, sides, size=CANVAS_SIZE)
    moved = crop_windows(
        cut, 2 * middle - _centroid(mask), torch.full_like(sides, CANVAS_SIZE), size=CANVAS_SIZE
    )
    blurred = functional.avg_pool2d(moved, 9, stride=1, padding=4)
    coarse = torch.randn(len(mask), 1, CANVAS_SIZE // 12, CANVAS_SIZE // 12, generator=generator)
    dents = functional.interpolate(coarse.to(mask.device), size=mask.shape[-2:], mode="bilinear")
    dents = 0.25 * strength[:, None, None, None] * dents
    dented = torch.sigmoid(8 * (blurred - 0.5 + dents)) * (blurred > 0.02)
    return torch.where(damaged[:, None, None, None], dented, mask)


def _losses(
    prediction: tuple[Tensor, Tensor, Tensor],
    target: Tensor,
    visible: Tensor,
    whole: Tensor,
    presence: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    logits, presence_logits, quality_logits = prediction
    there = presence == 1
    inside = target.sum(dim=(1, 2, 3))
    gone = presence == 0
    seen = there & (inside > 0.5 * whole) & (inside > 30)
    sure = (seen | gone).float()
    pixel = functional.binary_cross_entropy_with_logits(
        logits, target, weight=visible, reduction="none"
    ).mean(dim=(1, 2, 3))
    probability = logits.sigmoid() * visible
    overlap = (probability * target).sum(dim=(1, 2, 3))
    soft = overlap / (probability.sum(dim=(1, 2, 3)) + inside - overlap + 1)
    mask = (sure * (3 * pixel + seen * (1 - soft))).sum() / sure.sum().clamp(min=1)
    presence_loss = (
        sure
        * functional.binary_cross_entropy_with_logits(
            presence_logits, seen.float(), reduction="none"
        )
    ).sum() / sure.sum().clamp(min=1)
    with torch.no_grad():
        hard, truth = probability > 0.5, target > 0.5
        both = (hard & truth).sum(dim=(1, 2, 3))
        either = (hard | truth).sum(dim=(1, 2, 3)).clamp(min=1)
        jaccard = both / either
    quality = (
        seen
        * functional.binary_cross_entropy_with_logits(quality_logits, jaccard, reduction="none")
    ).sum() / seen.sum().clamp(min=1)
    return mask, presence_loss, quality, (jaccard * seen).sum() / seen.sum().clamp(min=1)

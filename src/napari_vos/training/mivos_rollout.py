"""Running clips of three frames through the networks of MiVOS the way the engine does.

Cheng, Tai, Tang, "Modular Interactive Video Object Segmentation", CVPR 2021,
sections 3 and 4, after Oh et al., "Video Object Segmentation using Space-Time
Memory Networks", ICCV 2019.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from napari_vos.networks.mivos import aggregate, attend_differences, sum_of_others
from napari_vos.training.losses import mean_jaccard

if TYPE_CHECKING:
    from napari_vos.networks.mivos import FusionNetwork, PropagationNetwork
    from napari_vos.training.labelled import Clips

HARDEST = 0.15
"""Share of the pixels of a frame that are learned from: those that are worst."""


class Losses(NamedTuple):
    """Scalars, each a mean over the clips and the frames found.

    Attributes
    ----------
    hardest
        Cross entropy of the hardest pixels.
    jaccard
        J of the objects.
    """

    hardest: Tensor
    jaccard: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.hardest


def roll_out(network: PropagationNetwork, clips: Clips, generator: torch.Generator) -> Losses:
    """Find the objects of the first frame of each clip in the two others, and compare.

    What was found in the second frame is remembered for the third, and all that is
    remembered is read, without top-k.

    Parameters
    ----------
    network
        In evaluation mode: the statistics of its batch norms stay as they are.
    clips
        B clips.
    generator
        Nothing is random here.
    """
    del generator
    found = [
        losses
        for images, labels, _ in zip(*clips, strict=True)
        for losses in _follow(network, images[:, None], labels)
    ]
    return _mean(found)


def _follow(network: PropagationNetwork, images: Tensor, labels: Tensor) -> list[Losses]:
    """Return the losses of the frames (3, 1, 3, S, S) of a clip but the first."""
    masks = _masks_of(labels)[0]
    keys, values, losses = [], [], []
    for t in range(1, len(images)):
        key, value = network.memorize(images[t - 1], masks, sum_of_others(masks))
        keys.append(key)
        values.append(value)
        memory = torch.cat(keys, dim=2), torch.cat(values, dim=2)
        probabilities = aggregate(network(network.encode(images[t]), *memory, top_k=None).sigmoid())
        masks = probabilities[1:]
        losses.append(_compare(probabilities, labels[t]))
    return losses


def fuse(
    network: FusionNetwork,
    clips: Clips,
    generator: torch.Generator,
    *,
    propagation: PropagationNetwork,
) -> Losses:
    """Correct the last frame of each clip, propagate, fuse on the frame between, and compare.

    Parameters
    ----------
    network
        What learns.
    clips
        B clips, each of three frames that differ.
    generator
        Nothing is random here.
    propagation
        Finds the masks that are fused; it learns nothing.
    """
    del generator
    propagation = propagation.to(clips.images.device)
    found = [
        _fuse_one(network, propagation, images[:, None], labels, times)
        for images, labels, times in zip(*clips, strict=True)
    ]
    return _mean(found)


def _fuse_one(
    network: FusionNetwork,
    propagation: PropagationNetwork,
    images: Tensor,
    labels: Tensor,
    times: Tensor,
) -> Losses:
    truth = _masks_of(labels)
    with torch.no_grad():
        first, last = (
            propagation.memorize(images[t], truth[t], sum_of_others(truth[t])) for t in (0, 2)
        )
        query, query_last = (propagation.encode(images[t]) for t in (1, 2))
        both = (torch.cat(parts, dim=2) for parts in zip(first, last, strict=True))
        old, old_last, new = (
            aggregate(propagation(asked, *memory).sigmoid())[1:]
            for asked, memory in ((query, first), (query_last, first), (query, both))
        )
        added, removed = (truth[2] - old_last).clamp(0, 1), (old_last - truth[2]).clamp(0, 1)
        attention = attend_differences(last[0], query, torch.cat([added, removed], dim=1))
    start, now, corrected = times.float()
    distance = torch.stack([now - start, corrected - now]).abs() / (corrected - start).abs()
    logits = network(
        images[1].expand(len(old), -1, -1, -1), old, new, attention, distance.expand(len(old), -1)
    )
    return _compare(aggregate(logits.sigmoid()), labels[1])


def _masks_of(labels: Tensor) -> Tensor:
    """Return (3, K, 1, S, S) float from the labels (3, S, S) of a clip with K objects."""
    ids = torch.arange(1, int(labels[0].max()) + 1, device=labels.device)
    return (labels[:, None] == ids[:, None, None])[:, :, None].float()


def _compare(probabilities: Tensor, labels: Tensor) -> Losses:
    truth = torch.stack([labels == index for index in range(1, len(probabilities))])[:, None]
    jaccard = mean_jaccard(probabilities[1:] > 0.5, truth.float())
    return Losses(hardest_pixels(probabilities, labels), jaccard)


def _mean(found: list[Losses]) -> Losses:
    return Losses(*(torch.stack(part).mean() for part in zip(*found, strict=True)))


def hardest_pixels(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross entropy of the share `HARDEST` of the pixels of a frame.

    Parameters
    ----------
    probabilities
        (K+1, 1, H, W) in (0, 1), background first.
    labels
        (H, W) int64, 0 to K.
    """
    logarithms = probabilities[:, 0].log()
    pixel = functional.nll_loss(logarithms[None], labels[None], reduction="none").flatten()
    return pixel.topk(max(1, round(HARDEST * len(pixel)))).values.mean()

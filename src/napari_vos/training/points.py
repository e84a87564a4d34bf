"""Training PointRend: where to compare a prediction with the truth, and by what loss.

Kirillov et al., CVPR 2020, section 3.1 (training) and 3.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from napari_vos.networks.pointrend import sample_points, uncertainty

if TYPE_CHECKING:
    from torch import Tensor

    from napari_vos.networks.pointrend import SemanticPointRend

OVERSAMPLING = 3
"""Candidates drawn per point, in the paper."""

IMPORTANCE = 0.75
"""Share of the points that are the most uncertain candidates; the others are anywhere."""


def choose_points(
    coarse: Tensor,
    candidates: Tensor,
    elsewhere: Tensor,
    n_points: int,
    *,
    sort_first: bool = False,
) -> Tensor:
    """Return the most uncertain candidates, then points anywhere.

    Parameters
    ----------
    coarse
        Logits (B, C, h, w).
    candidates
        Points (B, M, 2) to take from.
    elsewhere
        Points (B, R, 2) that are taken as they are. `draw_points` draws both.
    n_points
        N, the number of points to return.
    sort_first
        Whether logits are sorted in each cell and the sorted maps are sampled,
        as the single-layer version does, instead of the raw ones. Between cells
        of different classes that isn't the same.

    Returns
    -------
    Tensor
        (B, N, 2): the N - R most uncertain candidates, most uncertain first, then
        `elsewhere`.
    """
    maps = coarse.sort(dim=1, descending=True).values if sort_first else coarse
    doubt = uncertainty(sample_points(maps, candidates))
    taken = doubt.topk(n_points - elsewhere.shape[1], dim=1).indices
    return torch.cat([candidates.take_along_dim(taken[..., None], dim=1), elsewhere], dim=1)


def draw_points(
    batch: int,
    n_points: int,
    *,
    oversampling: int = OVERSAMPLING,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Return random candidates (B, oversampling · N, 2) and points elsewhere (B, R, 2).

    R is N - ⌊`IMPORTANCE` · N⌋.
    """
    candidates = torch.rand(batch, oversampling * n_points, 2, generator=generator)
    n_elsewhere = n_points - int(IMPORTANCE * n_points)
    return candidates, torch.rand(batch, n_elsewhere, 2, generator=generator)


def joint_loss(
    network: SemanticPointRend,
    images: Tensor,
    labels: Tensor,
    *,
    ignored: int = 255,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return the sum of the losses of the coarse prediction and of the points.

    Both are cross entropies. There are as many points in an image as a row of
    it has pixels, divided by 16.

    Parameters
    ----------
    network
        In training mode.
    images
        (B, 3, H, W), normalised for the network.
    labels
        (B, H, W) int64, the class of each pixel.
    ignored
        The label of pixels that don't count.
    generator
        Source of the points.
    """
    coarse, fine = network.predict_coarse(images)
    n_points = images.shape[-1] // 16
    drawn = draw_points(len(images), n_points, generator=generator)
    candidates, elsewhere = (points.to(images.device) for points in drawn)
    with torch.no_grad():
        points = choose_points(coarse, candidates, elsewhere, n_points, sort_first=True)
    logits = network.head(sample_points(coarse, points), sample_points(fine, points))
    there = sample_points(labels[:, None].to(coarse.dtype), points, mode="nearest")[:, 0]
    enlarged = functional.interpolate(
        coarse, size=labels.shape[-2:], mode="bilinear", align_corners=False
    )
    return functional.cross_entropy(
        enlarged, labels, ignore_index=ignored
    ) + functional.cross_entropy(logits, there.long(), ignore_index=ignored)

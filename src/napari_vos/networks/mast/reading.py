"""Reading a frame from earlier ones by what its pixels resemble.

Lai, Lu, Xie, "MAST: A Memory-Augmented Self-Supervised Tracker", CVPR 2020,
section 3.2. Each position looks for what it resembles in a window around its
own place. In an old reference things have moved: a first look at candidates
spread over a wider field tells where to, and the window is moved there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

from napari_vos.networks.mast.correlation import TILE, correlate
from napari_vos.networks.mast.schedule import dilation_at
from napari_vos.networks.mast.windows import FixedWindows, MovedWindows, Windows
from napari_vos.networks.memory import CHUNK_ENTRIES, weighted_sum

if TYPE_CHECKING:
    from torch import Tensor

RADIUS = 12
"""Of the windows of candidates, in features; the authors train with 6."""

WHOLE = 1 << 30
"""What a weight of 1 is when weights are counted in whole numbers."""


class Reference(NamedTuple):
    """A frame that others are read from.

    Attributes
    ----------
    features
        (B, C, H, W).
    values
        (B, V, H, W): one-hot labels, or a colour channel; for `read_labels`
        (1, L, H, W) int64, the labels of each position.
    gap
        Frames between it and the query.
    shares
        (1, L, H, W) float, how much of a position each of its labels has; None
        if it is all.
    """

    features: Tensor
    values: Tensor
    gap: int
    shares: Tensor | None = None


def read(
    query: Tensor,
    references: Sequence[Reference],
    *,
    radius: int = RADIUS,
    own_offsets: bool = True,
    corner_aligned: bool = True,
) -> Tensor:
    """Read the values of a frame from references.

    One softmax runs over the candidates in all references. Rows are read in
    bands, so that without gradients what it takes grows with the frame's
    width and not with its area.

    Parameters
    ----------
    query
        (B, C, H, W) features.
    references
        At least one.
    radius
        Of windows, in features.
    own_offsets
        Whether the values of each old reference are read where its features
        were. The authors' code reads those of all where the last one's were.
    corner_aligned
        Whether moved windows hit features exactly, see `MovedWindows`.

    Returns
    -------
    Tensor
        (B, V, H, W) float32. One-hot labels give sums below 1 where
        something beyond the frame is resembled.
    """
    windows = _place_windows(query, references, radius, own_offsets, corner_aligned)
    tables = [
        each.tabulate(reference.values.float())
        for each, reference in zip(windows, references, strict=True)
    ]
    read = []
    for rows, weights in _weigh(query, windows, radius):
        summed = [
            weighted_sum(*each.locate(weight, rows), table)
            for each, weight, table in zip(windows, weights, tables, strict=True)
        ]
        read.append(torch.stack(summed).sum(0))
    values = torch.cat(read, dim=1).transpose(1, 2)
    return values.reshape(*values.shape[:2], *query.shape[2:])


def read_labels(
    query: Tensor,
    references: Sequence[Reference],
    n_labels: int,
    *,
    radius: int = RADIUS,
    own_offsets: bool = True,
    top_k: int | None = None,
    nearness: float = 0.0,
) -> Iterator[tuple[range, Tensor]]:
    """Read the labels of a frame from references: what `read` gives of one-hot labels.

    Each candidate has one label or a few, so that the work hardly depends on
    their number. Sums are those of whole numbers, the same in whichever order
    a device adds them.

    Parameters
    ----------
    query
        (1, C, H, W) features.
    references
        At least one, with values from 0 to `n_labels`. 0 is no label: it
        takes weight and gets no score, as what lies beyond the frame.
    n_labels
        Number of labels, from 1.
    radius, own_offsets
        See `read`.
    top_k
        Candidates that count at each position, those of most weight; all if None.
    nearness
        What is taken from the product of features for each square feature of
        distance from the middle of the window.

    Yields
    ------
    tuple[range, Tensor]
        Rows of the frame, and the scores (`n_labels`, rows, W) of labels there, float32.
    """
    windows = _place_windows(query, references, radius, own_offsets, corner_aligned=True)
    pairs = list(zip(windows, references, strict=True))
    tables = [each.tabulate(reference.values)[0] for each, reference in pairs]
    shares = [
        each.tabulate(reference.shares)[0]
        for each, reference in pairs
        if reference.shares is not None
    ]
    starts = [0, *accumulate(len(table) for table in tables)]
    labels, share_of_label = torch.cat(tables), torch.cat(shares) if shares else None
    width = query.shape[3]
    for rows, weights in _weigh(query, windows, radius, nearness):
        located = [each.locate(weight, rows) for each, weight in zip(windows, weights, strict=True)]
        share = torch.cat([share[0] for share, _ in located], dim=1)
        place = torch.cat(
            [place[0] + start for (_, place), start in zip(located, starts, strict=False)], dim=1
        )
        if top_k is not None and top_k < share.shape[1]:
            share, strongest = share.topk(top_k, dim=1)
            share, place = share / share.sum(dim=1, keepdim=True), place.gather(1, strongest)
        counted = share[..., None]
        if share_of_label is not None:
            counted = counted * share_of_label[place]
        scores = torch.zeros(len(place), n_labels + 1, dtype=torch.int32, device=query.device)
        scores.scatter_add_(1, labels[place].flatten(1), (counted * WHOLE).round().int().flatten(1))
        yield rows, (scores[:, 1:].T.float() / WHOLE).reshape(n_labels, len(rows), width)


def estimate_offset(query: Tensor, reference: Tensor, *, radius: int, dilation: int) -> Tensor:
    """Return where in a reference each position is to be looked for: the first step.

    Parameters
    ----------
    query, reference
        (B, C, H, W) features.
    radius
        Of the field of candidates, in candidates.
    dilation
        Features from one candidate to the next.

    Returns
    -------
    Tensor
        (B, H, W, 2), (Δx, Δy) in features.
    """
    margin = radius * dilation
    padded = functional.pad(reference.float(), [margin] * 4)
    steps = torch.arange(-margin, margin + 1, dilation, device=query.device, dtype=torch.float32)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    candidates = torch.stack([x.flatten(), y.flatten()], dim=1)
    offset = []
    for rows in _bands(query, 4 * len(candidates), TILE * dilation):
        affinity = correlate(
            query[:, :, rows.start : rows.stop].float(),
            padded[:, :, rows.start : rows.stop + 2 * margin],
            radius=radius,
            dilation=dilation,
        )
        offset.append(torch.softmax(affinity.flatten(3), dim=3) @ candidates)
    return torch.cat(offset, dim=1)


def _place_windows(
    query: Tensor,
    references: Sequence[Reference],
    radius: int,
    own_offsets: bool,
    corner_aligned: bool,
) -> list[Windows]:
    dilations = [dilation_at(reference.gap) for reference in references]
    offsets = [
        None
        if dilation is None
        else estimate_offset(query, reference.features, radius=radius, dilation=dilation)
        for reference, dilation in zip(references, dilations, strict=True)
    ]
    last = next((offset for offset in reversed(offsets) if offset is not None), None)
    windows: list[Windows] = []
    for reference, offset in zip(references, offsets, strict=True):
        features = reference.features.float()
        if offset is None:
            windows.append(FixedWindows(features, radius=radius))
        else:
            windows.append(
                MovedWindows(
                    features,
                    offset,
                    located_offset=offset if own_offsets or last is None else last,
                    radius=radius,
                    corner_aligned=corner_aligned,
                )
            )
    return windows


def _weigh(
    query: Tensor, windows: Sequence[Windows], radius: int, nearness: float = 0.0
) -> Iterator[tuple[range, tuple[Tensor, ...]]]:
    """Yield rows, and the weights (B, Q, N) of candidates in each reference there."""
    query = query.float()
    candidates = (2 * radius + 1) ** 2
    steps = torch.arange(-radius, radius + 1, device=query.device)
    distance = (steps[:, None] ** 2 + steps**2).flatten()
    for rows in _bands(query, candidates * 3 * len(windows), TILE):
        band = query[:, :, rows.start : rows.stop]
        affinity = torch.cat([each.affinity(band, rows) for each in windows], dim=2)
        if nearness:
            affinity -= nearness * distance.repeat(len(windows))
        yield rows, torch.split(torch.softmax(affinity, dim=2), candidates, dim=2)


def _bands(query: Tensor, entries: int, least: int) -> Iterator[range]:
    """Yield the rows of a frame in bands with a bounded number of entries per position."""
    batch, _, height, width = query.shape
    most = CHUNK_ENTRIES // (batch * width * entries)
    step = max(least, most // least * least)
    for start in range(0, height, step):
        yield range(start, min(start + step, height))

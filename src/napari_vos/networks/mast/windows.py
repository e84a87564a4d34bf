"""Windows of candidates in a reference frame, around the place of each query position.

Both kinds take a band of query rows at a time, and have the same two verbs:
the affinity of queries with their candidates, and which places of the frame
these stand for. Beyond the frame all is 0, yet candidates there count: what
left the frame is read as nothing rather than as something else.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import torch
from torch.nn import functional

from napari_vos.networks.mast.correlation import correlate

if TYPE_CHECKING:
    from torch import Tensor

GATHERED_ENTRIES = 1 << 19
"""Features that are gathered at a time: 2 MiB, which stay in a processor's cache."""


class Windows(Protocol):
    """The candidates of all query positions in one reference."""

    def affinity(self, query: Tensor, rows: range) -> Tensor:
        """Return products of queries (B, C, rows, W) with N candidates: (B, Q, N), Q = rows · W."""

    def tabulate(self, maps: Tensor) -> Tensor:
        """Return maps (B, V, H, W) with a margin of zeros as a table of places: (B, P, V)."""

    def locate(self, weight: Tensor, rows: range) -> tuple[Tensor, Tensor]:
        """Return weights (B, Q, N) of candidates as those of places: (B, Q, M), and which ones."""


class FixedWindows:
    """Windows centred on the queries' own places.

    Parameters
    ----------
    features
        (B, C, H, W) float.
    radius
        Windows have 2 · `radius` + 1 candidates on each side.
    """

    def __init__(self, features: Tensor, *, radius: int) -> None:
        self._radius = radius
        self._features = functional.pad(features, [radius] * 4)
        self._width = features.shape[3]
        self._margin = _Margin(radius, radius, self._width)

    def affinity(self, query: Tensor, rows: range) -> Tensor:
        """See `Windows`."""
        reference = self._features[:, :, rows.start : rows.stop + 2 * self._radius]
        return correlate(query, reference, radius=self._radius).flatten(1, 2).flatten(2)

    def tabulate(self, maps: Tensor) -> Tensor:
        """See `Windows`."""
        return self._margin.tabulate(maps)

    def locate(self, weight: Tensor, rows: range) -> tuple[Tensor, Tensor]:
        """See `Windows`."""
        side = 2 * self._radius + 1
        y, x = places(rows, self._width, weight.device)
        index = self._margin.index(y - self._radius, x - self._radius, side, side)
        return weight, index.expand_as(weight)


class MovedWindows:
    """Windows that are moved by an offset per query position.

    Between features, candidates are bilinear blends of the four around them:
    all of a window are blended at once, from its products with whole features.

    Parameters
    ----------
    features
        (B, C, H, W) float.
    offset
        (B, H, W, 2) float, (Δx, Δy) in features.
    located_offset
        The same, by which windows are moved when places are asked for.
    radius
        Windows have 2 · `radius` + 1 candidates on each side.
    corner_aligned
        Whether candidates are one feature apart, or a bit more, and shifted
        by up to half a feature, as in runs of the authors' code with later
        versions of its library.
    """

    def __init__(
        self,
        features: Tensor,
        offset: Tensor,
        located_offset: Tensor,
        *,
        radius: int,
        corner_aligned: bool,
    ) -> None:
        self._offset, self._located_offset = offset, located_offset
        self._radius, self._corner_aligned = radius, corner_aligned
        self._size = (features.shape[2], features.shape[3])
        self._spacing = tuple(
            1.0 if corner_aligned else size / max(size - 1, 1) for size in self._size
        )
        self._sides = tuple(math.ceil(2 * radius * spacing) + 2 for spacing in self._spacing)
        self._margin = _Margin(self._sides[0], self._sides[1], self._size[1])
        self._features = self._margin.tabulate(features)

    def affinity(self, query: Tensor, rows: range) -> Tensor:
        """See `Windows`."""
        (top, left), (down, across) = self._window(self._offset, rows)
        vector = query.flatten(2).transpose(1, 2).unsqueeze(2)
        height, width = self._sides
        n_positions = max(1, GATHERED_ENTRIES // (query.shape[0] * query.shape[1] * height * width))
        chunks = (torch.split(each, n_positions, dim=1) for each in (top, left, vector))
        products = [
            few @ _at(self._features, self._margin.index(y, x, height, width)).mT
            for y, x, few in zip(*chunks, strict=True)
        ]
        whole = torch.cat(products, dim=1).reshape(*top.shape, height, width)
        return (down @ whole @ across.transpose(2, 3)).flatten(2)

    def tabulate(self, maps: Tensor) -> Tensor:
        """See `Windows`."""
        return self._margin.tabulate(maps)

    def locate(self, weight: Tensor, rows: range) -> tuple[Tensor, Tensor]:
        """See `Windows`."""
        (top, left), (down, across) = self._window(self._located_offset, rows)
        side = 2 * self._radius + 1
        whole = down.transpose(2, 3) @ weight.reshape(*weight.shape[:2], side, side) @ across
        return whole.flatten(2), self._margin.index(top, left, *self._sides)

    def _window(
        self, offset: Tensor, rows: range
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return where windows of whole features begin, and what blends them, in y and x."""
        moved = offset[:, rows.start : rows.stop].flatten(1, 2)
        begins, blends = [], []
        for axis, place in enumerate(places(rows, self._size[1], offset.device)):
            spacing, side = self._spacing[axis], self._sides[axis]
            first = (place + moved[..., 1 - axis] - self._radius) * spacing
            if not self._corner_aligned:
                first = first - 0.5
            begin = first.detach().floor()
            candidates = first - begin
            candidates = candidates[..., None] + spacing * torch.arange(
                2 * self._radius + 1, device=first.device
            )
            whole = torch.arange(side, device=first.device)
            blends.append((1 - (candidates[..., None] - whole).abs()).clamp(min=0))
            # Beyond the margin, where all is 0, how far does not matter.
            begins.append(begin.long().clamp(-side, self._size[axis]))
        return (begins[0], begins[1]), (blends[0], blends[1])


class _Margin:
    """Zeros around a frame, for windows that go beyond it.

    Parameters
    ----------
    vertical, horizontal
        Their number above and below, left and right.
    width
        Of the frame.
    """

    def __init__(self, vertical: int, horizontal: int, width: int) -> None:
        self._vertical, self._horizontal = vertical, horizontal
        self._width = width + 2 * horizontal

    def tabulate(self, maps: Tensor) -> Tensor:
        """Return maps (B, V, H, W) with the margin as a table of places: (B, P, V)."""
        sides = [self._horizontal] * 2 + [self._vertical] * 2
        return functional.pad(maps, sides).flatten(2).transpose(1, 2).contiguous()

    def index(self, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
        """Return the places (..., height · width) of windows that begin at y, x (...)."""
        y = torch.arange(self._vertical, self._vertical + height, device=top.device)
        x = torch.arange(self._horizontal, self._horizontal + width, device=top.device)
        begin = (top * self._width + left)[..., None]
        return begin + (y[:, None] * self._width + x).flatten()


def _at(table: Tensor, index: Tensor) -> Tensor:
    """Return what a table (B, P, C) has at places (B, Q, N): (B, Q, N, C)."""
    batch, n_places, _ = table.shape
    sample = torch.arange(batch, device=index.device)[:, None, None]
    return functional.embedding(index + sample * n_places, table.flatten(0, 1))


def places(rows: range, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return y and x (1, Q) of the query positions in a band of rows."""
    y, x = torch.meshgrid(
        torch.arange(rows.start, rows.stop, device=device),
        torch.arange(width, device=device),
        indexing="ij",
    )
    return y.flatten()[None], x.flatten()[None]

"""Cells as a detector finds them: a small YOLACT on overlapping tiles of a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from napari_vos import checkpoints
from napari_vos.configs import CellsConfig
from napari_vos.engines.tiles import Tile, TiledDetections, cover
from napari_vos.engines.windows import standardize
from napari_vos.engines.yolact_network import RunningYolact

if TYPE_CHECKING:
    from torch import Tensor

    from napari_vos.engines.yolact_detections import YolactDetections
    from napari_vos.frames import FrameStack
    from napari_vos.networks.yolact import Prediction

SIDE = 256
"""Of tiles, in pixels of the network."""

OVERLAP = 1 / 4
"""What neighbouring tiles share, as a part of their side."""

OBJECT_SIDE = 32
OBJECT_DIAMETER = 36
"""Of typical objects in pixels of the network: of a square, and of a disk of the same area."""

LARGEST = 1.25
"""Side of a tile at most, as a part of the frame's: beyond a frame there is nothing to see."""

BATCH = 8
"""Tiles looked at together."""


@dataclass(frozen=True)
class CellDetector:
    """Finds cells of 8 to 150 pixels on frames of any size.

    Make one with `CellDetector.create`.
    """

    frames: FrameStack
    config: CellsConfig
    running: RunningYolact

    @classmethod
    def create(
        cls,
        frames: FrameStack,
        *,
        config: CellsConfig | None = None,
        weights: str | Path | None = None,
        device: str = "auto",
        precision: str = "auto",
    ) -> CellDetector:
        """Load the network.

        Raises
        ------
        NapariVosError
            If the weights, the device or the precision can't be used.
        """
        config = config or CellsConfig()
        path = checkpoints.resolve(weights, "cells")
        running = RunningYolact.load(
            "cells", "cells", path, config, device=device, precision=precision
        )
        return cls(frames, config, running)

    @property
    def plan(self) -> Mapping[str, object]:
        """See `Detector.plan`."""
        return self.running.plan

    @torch.inference_mode()
    def detect(self, t: int) -> TiledDetections:
        """Return what there may be on frame `t`; see `Detector.detect`."""
        grey = torch.from_numpy(self.frames.normalized(t).mean(axis=0))
        image = show(grey[None, None].to(self.running.device))
        side = SIDE
        if self.config.diameter is not None:
            wanted = SIDE * self.config.diameter / OBJECT_DIAMETER
            side = round(min(wanted, LARGEST * max(self.frames.shape)))
        tiles = cover(self.frames.shape, side, round(side * OVERLAP))
        seen: list[YolactDetections] = []
        for first in range(0, len(tiles), BATCH):
            pieces = [cut(image, tile) for tile in tiles[first : first + BATCH]]
            predicted = self.running.predict(torch.cat(pieces))
            seen += [self._kept(predicted, index, side) for index in range(len(pieces))]
        return TiledDetections(tiles, tuple(seen), self.frames.shape)

    def _kept(self, predicted: Prediction, index: int, side: int) -> YolactDetections:
        """Return what is kept of a tile: large frames have many, so prototypes are float16."""
        found = self.running.detections(
            predicted, index, size=(side, side), max_instances=self.config.max_instances
        )
        kept = found.prototypes[: None if len(found.candidates.scores) else 0]
        return replace(found, prototypes=kept.half())


def show(grey: Tensor) -> Tensor:
    """Return a frame as the network takes it.

    Parameters
    ----------
    grey
        (1, 1, Y, X), the range of the movie from 0 to 1, not clipped.

    Returns
    -------
    Tensor
        (1, 3, Y, X): the same, and what `standardize` makes of it.
    """
    return torch.cat([grey, standardize(grey)], dim=1)


def cut(image: Tensor, tile: Tile) -> Tensor:
    """Return a tile (1, C, `SIDE`, `SIDE`) of a frame (1, C, Y, X), continued where it ends."""
    rows, columns = tile.within((image.shape[-2], image.shape[-1]))
    piece = image[:, :, rows, columns]
    lacking = (0, tile.side - piece.shape[-1], 0, tile.side - piece.shape[-2])
    return functional.interpolate(
        functional.pad(piece, lacking, mode="replicate"),
        size=(SIDE, SIDE),
        mode="bilinear",
        align_corners=False,
        antialias=tile.side > SIDE,
    )

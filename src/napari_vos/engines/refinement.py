"""The refiner: masks made at reduced scale become sharp at full resolution.

PointRend (Kirillov et al., CVPR 2020) with one coarse map per object, in the
object's window. What is uncertain is enlarged and predicted anew, step by step,
along borders only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_vos import checkpoints
from napari_vos.configs import RefinementConfig
from napari_vos.device import choose_device
from napari_vos.engines.aggregation import aggregate
from napari_vos.engines.border_features import BorderFeatures
from napari_vos.engines.coarse_windows import (
    CoarseWindow,
    cells_around,
    coarsen,
    enlarge,
    grid_shape,
    repeat_cells,
)
from napari_vos.engines.colours import colour_channels
from napari_vos.errors import WeightsError
from napari_vos.metrics import region_similarity
from napari_vos.networks.refinement import RefinementNetwork, describe
from napari_vos.store.evidence import FrameEvidence, ObjectEvidence, Source

if TYPE_CHECKING:
    from pathlib import Path

    from napari_vos.frames import FrameStack

DOUBT = 0.45
"""A cell is predicted anew if its probability is nearer to 0.5 than this."""

RECOGNISED = 0.5
"""An object stays as it was if its old and new mask overlap (J) less than this."""

POINTS_AT_ONCE = 1 << 15


@dataclass(frozen=True)
class MaskRefiner:
    """Refines the masks of a stack, frame by frame.

    Make one with `MaskRefiner.create`.
    """

    frames: FrameStack
    config: RefinementConfig
    network: RefinementNetwork
    device: torch.device
    plan: Mapping[str, object]

    @classmethod
    def create(
        cls,
        frames: FrameStack,
        *,
        config: RefinementConfig | None = None,
        weights: str | Path | None = None,
        device: str = "auto",
    ) -> MaskRefiner:
        """Load the network.

        Raises
        ------
        NapariVosError
            If the weights or the device can't be used.
        """
        config = config or RefinementConfig()
        chosen = choose_device(device)
        if weights is None and not any(e.name == "refinement" for e in checkpoints.registered()):
            raise WeightsError(
                "The package has no weights for refining masks. Train them with "
                "'napari-vos train refinement', and name the file with --weights."
            )
        path = checkpoints.resolve(weights, "refinement")
        network = cast("RefinementNetwork", checkpoints.load_network("refinement", path))
        settled: dict[str, object] = {
            "refiner": "pointrend",
            "weights": path.name,
            "weights_sha256": checkpoints.sha256_of(path),
            "config": asdict(config),
            "device": str(chosen),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        return cls(frames, config, network.to(chosen), chosen, settled)

    @torch.inference_mode()
    def refine(
        self, t: int, evidence: FrameEvidence, *, factors: Mapping[int, int] | None = None
    ) -> FrameEvidence:
        """Sharpen the masks of a frame; see `Refiner.refine`.

        Parameters
        ----------
        t
            Frame index.
        evidence
            What is believed about it.
        factors
            By object id, pixels of the image per pixel of the scale at which its
            mask was made: a power of two up to 8. Other objects stay as they are.
            None for the configured one for all but the user's own.
        """
        if factors is None:
            moving = [i for i, x in evidence.objects.items() if x.source is not Source.USER]
            factors = dict.fromkeys(moving, self.config.factor)
        for factor in sorted(set(factors.values())):
            ids = [i for i in evidence.objects if factors.get(i) == factor]
            sharp = self._refine(t, evidence.objects, ids, factor)
            evidence = replace(evidence, objects={**evidence.objects, **sharp})
        return evidence

    def _refine(
        self,
        t: int,
        objects: Mapping[int, ObjectEvidence],
        object_ids: Sequence[int],
        factor: int,
    ) -> dict[int, ObjectEvidence]:
        """Return these objects with sharper borders."""
        shape = self.frames.shape
        moving = [coarsen(objects[i], shape, factor) for i in object_ids]
        total = torch.zeros(grid_shape(shape, factor))
        borders = torch.zeros(total.shape, dtype=torch.bool)
        reached = torch.zeros(total.shape, dtype=torch.bool)
        for window in moving:
            total[window.cells.slices] += window.coarse
            borders[window.cells.slices] |= window.border
            reached[window.cells.slices] = True
        frozen = [
            item
            for i, item in objects.items()
            if i not in object_ids and reached[cells_around(item.box, shape, factor).slices].any()
        ]
        for item in frozen:
            beside = coarsen(item, shape, factor)
            total[beside.cells.slices] += beside.coarse
        features = BorderFeatures(
            self.network, self._image(t).to(self.device), borders.to(self.device), factor
        )
        told = features.told.cpu()
        subjects = [
            Subject(
                window,
                near=window.border & told[window.cells.slices],
                others=(total[window.cells.slices] - window.coarse).clamp(0, 1),
            )
            for window in moving
        ]
        refined = self._subdivide(subjects, features, factor)
        sharpened = [
            subject.sharpened(probability, shape, certainty=self.config.certainty)
            for subject, probability in zip(subjects, refined, strict=True)
        ]
        return settle(sharpened, dict(zip(object_ids, moving, strict=True)), frozen, shape)

    def _image(self, t: int) -> Tensor:
        planes = self.frames.normalized(t)
        return torch.from_numpy(planes[colour_channels(len(planes))])

    def _subdivide(
        self, subjects: Sequence[Subject], features: BorderFeatures, factor: int
    ) -> list[Tensor]:
        """Return each subject's probability at full resolution, of its whole window."""
        refined = [subject.window.coarse for subject in subjects]
        scale = 1
        while scale < factor:
            scale *= 2
            refined = [enlarge(probability, 2) for probability in refined]
            known = [subject.known(scale) for subject in subjects]
            cells = [
                subject.doubtful(probability, own, scale).nonzero()
                for subject, probability, (own, _) in zip(subjects, refined, known, strict=True)
            ]
            asked = [
                (planes[:, where[:, 0], where[:, 1]].T, subject.places(where, scale))
                for subject, planes, where in zip(subjects, known, cells, strict=True)
            ]
            coarse, positions = (torch.cat(part) for part in zip(*asked, strict=True))
            predicted = self._predict(coarse, positions, features, factor)
            told = torch.split(predicted, [len(where) for where in cells])
            for probability, where, values in zip(refined, cells, told, strict=True):
                probability[where[:, 0], where[:, 1]] = values
        return refined

    def _predict(
        self, coarse: Tensor, positions: Tensor, features: BorderFeatures, factor: int
    ) -> Tensor:
        """Return the probability (N,) at points from (N, 2) own and others, and (N, 2) (y, x)."""
        octaves = float(np.log2(factor))
        parts = [coarse.new_empty(0)]
        for start in range(0, len(positions), POINTS_AT_ONCE):
            known = coarse[start : start + POINTS_AT_ONCE].to(self.device)
            where = positions[start : start + POINTS_AT_ONCE].to(self.device)
            own, others = known.T[:, None]
            described = describe(own, others, torch.full_like(own, octaves))
            parts.append(self.network(described, features.sample(where))[0, 0].sigmoid().cpu())
        return torch.cat(parts)


@dataclass(frozen=True, eq=False)
class Subject:
    """An object that is refined.

    Attributes
    ----------
    window
        The object's coarse mask.
    near
        (h, w) bool, the cells that may change.
    others
        (h, w) float32 in [0, 1], the coarse masks of all others.
    """

    window: CoarseWindow
    near: Tensor
    others: Tensor

    def known(self, scale: int) -> Tensor:
        """Return own and others' coarse probability (2, h, w) at each cell.

        Each coarse cell is divided into `scale` x `scale`. Where the mask as it was
        given divides a cell otherwise, on the other side of 0.5, own is mirrored: so
        what is finer than the scale stays where the image doesn't say otherwise.
        """
        planes = enlarge(torch.stack([self.window.coarse, self.others]), scale)
        pixels = self.window.factor // scale
        is_inside = functional.avg_pool2d(self.window.given[None], pixels)[0] > 0.5
        divided = repeat_cells((self.window.coarse > 0) & (self.window.coarse < 1), scale)
        finer = divided & ((planes[0] > 0.5) != is_inside)
        planes[0] = torch.where(finer, 1 - planes[0], planes[0])
        return planes

    def doubtful(self, probability: Tensor, own: Tensor, scale: int) -> Tensor:
        """Return (h, w) bool: the cells to predict anew, from what is believed and `known`."""
        unsure = (probability - 0.5).abs() < DOUBT
        finer = (probability > 0.5) != (own > 0.5)
        return (unsure | finer) & repeat_cells(self.near, scale)

    def places(self, cells: Tensor, scale: int) -> Tensor:
        """Return (N, 2) (y, x), in pixels from the frame's corner, of cells (row, column)."""
        corner = torch.tensor(self.window.cells[:2])
        return (cells + 0.5) * (self.window.factor / scale) + corner * self.window.factor

    def sharpened(
        self, refined: Tensor, shape: tuple[int, int], *, certainty: float
    ) -> ObjectEvidence:
        """Return the object as it was, but refined along its border.

        A pixel for which the new side isn't certain enough stays as it was.
        """
        given = self.window.given
        changed = (refined > 0.5) != (given > 0.5)
        unsure = (refined - 0.5).abs() < certainty - 0.5
        near = repeat_cells(self.near, self.window.factor)
        probability = torch.where(near & ~(changed & unsure), refined, given)
        box = self.window.box_within(shape)
        height, width = box.shape
        return replace(
            self.window.evidence,
            box=box,
            probability=probability[:height, :width].numpy().astype(np.float16),
        )


def settle(
    sharpened: Sequence[ObjectEvidence],
    given: Mapping[int, CoarseWindow],
    frozen: Sequence[ObjectEvidence],
    shape: tuple[int, int],
) -> dict[int, ObjectEvidence]:
    """Make sharpened objects compete, and see to it that all of them stay.

    An object that would hardly be recognised, or lose too much to others, is
    taken as it was given, and the others compete anew.

    Parameters
    ----------
    sharpened
        Each object as if it were alone.
    given
        What the objects were, by id.
    frozen
        Objects that take part and aren't changed.
    shape
        (Y, X) of the frame.

    Returns
    -------
    dict
        By object id.
    """
    kept: dict[int, ObjectEvidence] = {}
    while True:
        competing = [item for item in sharpened if item.object_id not in kept]
        aggregated = aggregate(competing, [*frozen, *kept.values()], shape, gaps=True)
        lost = [
            item.object_id
            for item in aggregated
            if _overlap(item, given[item.object_id]) < RECOGNISED
        ]
        if not lost:
            return {item.object_id: item for item in (*aggregated, *kept.values())}
        kept |= {object_id: given[object_id].evidence for object_id in lost}


def _overlap(item: ObjectEvidence, given: CoarseWindow) -> float:
    height, width = item.box.shape
    before = given.given[:height, :width].numpy() > 0.5
    return region_similarity(item.probability > 0.5, before) if before.any() else 0.0

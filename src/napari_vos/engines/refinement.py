"""The refiner: masks made at reduced scale become sharp at full resolution.

PointRend (Kirillov et al., CVPR 2020) with one coarse map per object, in the
object's window. What is uncertain is enlarged and predicted anew, step by step,
along borders only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from napari_vos import checkpoints
from napari_vos.configs import RefinementConfig
from napari_vos.device import choose_device
from napari_vos.engines.aggregation import aggregate
from napari_vos.engines.border_features import BorderFeatures
from napari_vos.engines.coarse_windows import (
    CoarseWindow,
    believed,
    cells_around,
    coarsen,
    enlarge,
    grid_shape,
)
from napari_vos.engines.colours import colour_channels
from napari_vos.engines.subjects import Subject
from napari_vos.errors import WeightsError
from napari_vos.metrics import region_similarity
from napari_vos.networks.refinement import Known, RefinementNetwork, border_strength
from napari_vos.store.evidence import FrameEvidence, ObjectEvidence, Source

if TYPE_CHECKING:
    from pathlib import Path

    from napari_vos.frames import FrameStack

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
        strength = torch.zeros_like(total)
        borders = torch.zeros(total.shape, dtype=torch.bool)
        reached = torch.zeros(total.shape, dtype=torch.bool)
        for window in moving:
            borders[window.cells.slices] |= window.border
            reached[window.cells.slices] = True
        frozen = [
            item
            for i, item in objects.items()
            if i not in object_ids and reached[cells_around(item.box, shape, factor).slices].any()
        ]
        for window in (*moving, *(coarsen(item, shape, factor) for item in frozen)):
            inside = window.cells.slices
            total[inside] += window.coarse
            strength[inside] = torch.maximum(strength[inside], border_strength(window.coarse))
        features = BorderFeatures(
            self.network,
            self._image(t).to(self.device),
            torch.stack([total.clamp(max=1), strength]).to(self.device),
            borders.to(self.device),
            factor,
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
            own = [believed(each.window.coarse, each.window.given, scale) for each in subjects]
            cells = [
                subject.doubtful(probability, before, scale).nonzero()
                for subject, probability, before in zip(subjects, refined, own, strict=True)
            ]
            known = [
                subject.known(before[where[:, 0], where[:, 1]], where, scale)
                for subject, before, where in zip(subjects, own, cells, strict=True)
            ]
            places = [
                each.places(where, scale) for each, where in zip(subjects, cells, strict=True)
            ]
            together = Known(*(torch.cat(part, dim=-1) for part in zip(*known, strict=True)))
            predicted = self._predict(together, torch.cat(places), features)
            told = torch.split(predicted, [len(where) for where in cells])
            for probability, where, values in zip(refined, cells, told, strict=True):
                probability[where[:, 0], where[:, 1]] = values
        return refined

    def _predict(self, known: Known, positions: Tensor, features: BorderFeatures) -> Tensor:
        """Return the probability (N,) at N points, with their (N, 2) positions (y, x)."""
        parts = [positions.new_empty(0)]
        for start in range(0, len(positions), POINTS_AT_ONCE):
            some = slice(start, start + POINTS_AT_ONCE)
            asked = Known(*(part[..., some].to(self.device) for part in known))
            fine = features.sample(positions[some].to(self.device))
            parts.append(self.network(asked, fine)[0, 0].sigmoid().cpu())
        return torch.cat(parts)


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

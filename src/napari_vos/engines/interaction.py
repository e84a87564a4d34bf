"""Masks of what is drawn, by a network that sees each object in a window of its size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from napari_vos import checkpoints
from napari_vos.configs import InteractionConfig
from napari_vos.device import choose_device, choose_precision
from napari_vos.engines.places import (
    Place,
    crop,
    look_at,
    paste,
    region_of,
    visible_part,
)
from napari_vos.engines.windows import CONTEXT, WINDOW_SIZE, mark_border, window_side
from napari_vos.networks.folding import fold_batch_norms
from napari_vos.networks.interaction import InteractionNetwork, thicken
from napari_vos.store.evidence import Box, window_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_vos.frames import FrameStack
    from napari_vos.prompts import Drawing

MOST_LOOKS = 4
"""How often an object is looked at until its window has the right size."""

RIM = 2
"""A mask within this many network pixels of the window's border may go on beyond it."""


class Sight(NamedTuple):
    """What the network sees of one window: see `InteractionNetwork`; each (C, S, S)."""

    image: Tensor
    previous: Tensor
    others: Tensor
    inside: Tensor
    outside: Tensor
    box: Tensor


@dataclass(frozen=True)
class CompactInteractor:
    """Makes masks object by object, in windows, batched over objects.

    The window of an object is chosen by its box, or by its previous mask and its
    strokes. Those of a new object don't tell how large it is: what is found
    there decides how it is looked at again.

    Make one with `CompactInteractor.create`.
    """

    frames: FrameStack
    config: InteractionConfig
    network: InteractionNetwork
    device: torch.device
    dtype: torch.dtype
    plan: Mapping[str, object]

    @classmethod
    def create(
        cls,
        frames: FrameStack,
        *,
        config: InteractionConfig | None = None,
        weights: str | Path | None = None,
        device: str = "auto",
        precision: str = "auto",
    ) -> CompactInteractor:
        """Load the network.

        Raises
        ------
        NapariVosError
            If weights, device or precision can't be used.
        """
        config = config or InteractionConfig()
        path = checkpoints.resolve(weights, "interaction")
        chosen = choose_device(device)
        dtype = choose_precision(precision, chosen)
        network = checkpoints.load_network("interaction", path)
        fold_batch_norms(network)
        network = network.to(chosen, dtype)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        plan = {
            "interactor": "compact",
            "weights": path.name,
            "weights_sha256": checkpoints.sha256_of(path),
            "config": asdict(config),
            "device": chosen.type,
            "precision": str(dtype).removeprefix("torch."),
            "torch": torch.__version__,
        }
        return cls(frames, config, cast("InteractionNetwork", network), chosen, dtype, plan)

    def segment(self, drawing: Drawing, previous: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Return the masks of the objects that are drawn; see `Interactor.segment`."""
        labels = np.zeros_like(previous)
        best = np.full(previous.shape, 0.5, np.float16)
        for object_id, (place, found) in self._find(drawing, previous).items():
            pasted = paste(found, place, previous.shape)
            if pasted is None:
                continue
            box, probability = pasted
            better = probability > best[box.slices]
            best[box.slices][better] = probability[better]
            labels[box.slices][better] = object_id
        labels[(previous > 0) & ~np.isin(previous, drawing.object_ids)] = 0
        if self.config.local:
            for object_id in drawing.object_ids:
                _keep_far(labels, drawing, previous, object_id)
        return labels

    def _find(
        self, drawing: Drawing, previous: NDArray[np.uint16]
    ) -> dict[int, tuple[Place, Tensor]]:
        """Return where each object was looked at last, and its probability (1, S, S) there."""
        planes = self.frames.normalized(drawing.t)
        pending = {i: self._first_place(drawing, previous, i) for i in drawing.object_ids}
        found: dict[int, tuple[Place, Tensor]] = {}
        for _ in range(MOST_LOOKS):
            sights = [_see(planes, drawing, previous, i, place) for i, place in pending.items()]
            better = {}
            for (i, place), sight, probability in zip(
                pending.items(), sights, self._predict(sights), strict=True
            ):
                connected = _connected(probability, sight)
                found[i] = place, connected
                changed = better_place(place, connected, previous.shape)
                if changed is not None and i not in drawing.boxes:
                    better[i] = changed
            if not better:
                break
            pending = better
        return found

    @torch.inference_mode()
    def _predict(self, sights: Sequence[Sight]) -> list[Tensor]:
        """Return the probability (1, S, S) in each window: the mean of it and its mirror image."""
        probabilities: list[Tensor] = []
        for start in range(0, len(sights), self.config.batch_size):
            batch = sights[start : start + self.config.batch_size]
            parts = (torch.stack(part) for part in zip(*batch, strict=True))
            both = (torch.cat([part, part.flip(-1)]) for part in parts)
            logits = self.network(*(part.to(self.device, self.dtype) for part in both))
            seen, mirrored = logits.float().sigmoid().cpu().chunk(2)
            probabilities += list((seen + mirrored.flip(-1)) / 2)
        return probabilities

    def _first_place(self, drawing: Drawing, previous: NDArray[np.uint16], object_id: int) -> Place:
        inside, mask = drawing.inside(object_id), previous == object_id
        if object_id in drawing.boxes:
            rows, columns = drawing.boxes[object_id]
            box = Box(rows.start, columns.start, rows.stop, columns.stop)
            extent = float(max(box.shape))
        else:
            box = window_of(mask | inside) or Box(0, 0, *mask.shape)
            extent = float(max(box.shape))
            if not mask.any():
                extent = max(extent, _usual_side(previous) or self.config.object_side)
        return _place_of(box, extent)


def better_place(place: Place, probability: Tensor, shape: tuple[int, ...]) -> Place | None:
    """Return a window that suits what was found in another one; None if that did.

    Parameters
    ----------
    place
        The window.
    probability
        (1, S, S), what was found there.
    shape
        (Y, X) of the frame.
    """
    mask = probability[0] > 0.5
    rows, columns = (torch.nonzero(mask.any(dim=axis))[:, 0] for axis in (1, 0))
    if not rows.numel():
        return None
    unit = place.side / WINDOW_SIZE
    top, bottom = (place.y + (float(row) - WINDOW_SIZE / 2) * unit for row in (rows[0], rows[-1]))
    left, right = (
        place.x + (float(column) - WINDOW_SIZE / 2) * unit for column in (columns[0], columns[-1])
    )
    extent = max(bottom - top, right - left) + unit
    inner = visible_part(place, (shape[0], shape[1]))[0] > 0
    inner[RIM:-RIM, RIM:-RIM] = False
    goes_on = bool((mask & inner).any())
    wanted = min(_side_for(extent * (2 if goes_on else 1)), CONTEXT * max(shape))
    y, x = (top + bottom + unit) / 2, (left + right + unit) / 2
    if 0.75 < wanted / place.side < 1.35:
        off_center = max(abs(y - place.y), abs(x - place.x))
        if not goes_on and off_center < 0.15 * place.side:
            return None
    return Place(y, x, wanted)


def _place_of(box: Box, extent: float) -> Place:
    y, x = (box.top + box.bottom - 1) / 2, (box.left + box.right - 1) / 2
    return Place(y, x, _side_for(extent))


def _side_for(extent: float) -> float:
    return float(window_side(torch.tensor(extent)))


def _usual_side(labels: NDArray[np.uint16]) -> float | None:
    """Return the median side of the objects of a frame; None if there are none."""
    sides = [
        max(part.stop - part.start for part in found)
        for found in ndimage.find_objects(labels)
        if found is not None
    ]
    return float(np.median(sides)) if sides else None


def _see(
    planes: NDArray[np.float32],
    drawing: Drawing,
    previous: NDArray[np.uint16],
    object_id: int,
    place: Place,
) -> Sight:
    shape = previous.shape[0], previous.shape[1]
    region = region_of(place, shape)
    before = previous[region.slices]
    boxed = np.zeros(region.shape, np.bool_)
    if object_id in drawing.boxes:
        rows, columns = drawing.boxes[object_id]
        boxed[
            max(0, rows.start - region.top) : max(0, rows.stop - region.top),
            max(0, columns.start - region.left) : max(0, columns.stop - region.left),
        ] = True
    maps = np.stack(
        [
            before == object_id,
            (before > 0) & (before != object_id),
            drawing.inside(object_id, region.slices),
            drawing.outside(object_id, region.slices),
            boxed,
        ]
    )
    mask, others, inside, outside, box = crop(
        maps.astype(np.float32), region, place, outside="zeros"
    ).chunk(5)
    image, others = mark_border(look_at(planes, place), others, visible_part(place, shape))
    return Sight(image, mask, others, thicken(inside[None])[0], thicken(outside[None])[0], box)


def _connected(probability: Tensor, sight: Sight) -> Tensor:
    """Return the probability of the pieces that strokes or the previous mask touch.

    Without any of these it is the largest piece.
    """
    pieces, count = ndimage.label(probability[0].numpy() > 0.5)
    if count < 2:
        return probability
    known = ((sight.previous + sight.inside) > 0.5)[0].numpy()
    touched = set(np.unique(pieces[known]).tolist()) - {0}
    if not touched:
        touched = {int(np.bincount(pieces.ravel())[1:].argmax()) + 1}
    return probability * torch.from_numpy(np.isin(pieces, [0, *touched]))


def _keep_far(
    labels: NDArray[np.uint16],
    drawing: Drawing,
    previous: NDArray[np.uint16],
    object_id: int,
) -> None:
    """Let an object that was there change around its strokes alone."""
    mask = previous == object_id
    strokes = drawing.inside(object_id)
    if object_id in drawing.negatives:
        strokes = strokes | drawing.negatives[object_id]
    drawn, held = window_of(strokes), window_of(mask)
    if drawn is None or held is None:
        return
    margin = max(*drawn.shape, math.ceil(max(held.shape) / 4))
    far = np.ones(labels.shape, np.bool_)
    far[
        max(0, drawn.top - margin) : drawn.bottom + margin,
        max(0, drawn.left - margin) : drawn.right + margin,
    ] = False
    labels[far & (labels == object_id)] = 0
    labels[far & mask] = object_id

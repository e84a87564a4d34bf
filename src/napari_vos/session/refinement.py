"""Refining the labels of any stack, without a session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_vos.errors import FramesError
from napari_vos.io.labels import check_labels
from napari_vos.session.merge import labels_of, user_evidence
from napari_vos.store.evidence import FrameEvidence, Source

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_vos.configs import RefinementConfig
    from napari_vos.engines.base import Refiner
    from napari_vos.frames import FrameStack
    from napari_vos.frames.arrays import LazyArray


class RefinedLabels:
    """A lazy (T, Y, X) stack of uint16 labels; `stack[t]` refines frame t.

    Make one with `refine_labels`.
    """

    def __init__(
        self,
        refiner: Refiner,
        labels: LazyArray | Sequence[NDArray[Any]],
        shape: tuple[int, ...],
        object_ids: Collection[int] | None,
    ) -> None:
        self.refiner = refiner
        self.shape = shape
        self._labels = labels
        self._object_ids = object_ids

    @property
    def ndim(self) -> int:
        """Always 3."""
        return 3

    @property
    def dtype(self) -> np.dtype[np.uint16]:
        """Always uint16."""
        return np.dtype(np.uint16)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, t: int) -> NDArray[np.uint16]:
        return self.refine(t, np.asarray(self._labels[t]))

    def refine(self, t: int, labels: NDArray[Any]) -> NDArray[np.uint16]:
        """Return (Y, X) labels of frame `t`, refined; they needn't be those of the stack.

        Raises
        ------
        FramesError
            If these aren't labels from 0 to 65535.
        """
        objects = user_evidence(check_labels(labels, t, "labels"))
        chosen = objects.keys() if self._object_ids is None else self._object_ids
        moving = {
            object_id: replace(item, source=Source.PROPAGATED)
            for object_id, item in objects.items()
            if object_id in chosen
        }
        refined = self.refiner.refine(t, FrameEvidence(t, objects | moving))
        return labels_of(refined.objects.values(), (self.shape[1], self.shape[2]))

    def __iter__(self) -> Iterator[NDArray[np.uint16]]:
        return (self[t] for t in range(len(self)))


def refine_labels(
    frames: FrameStack,
    labels: LazyArray | Sequence[NDArray[Any]],
    *,
    object_ids: Collection[int] | None = None,
    config: RefinementConfig | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
) -> RefinedLabels:
    """Sharpen the borders of labels that were made at reduced scale.

    Parameters
    ----------
    frames
        The images, at full resolution.
    labels
        (T, Y, X) integers of the same frames and size.
    object_ids
        The objects to refine; all if None. The others stay, pixel by pixel.
    config
        How to refine; None for the default.
    weights
        A file or a registered name; None for the shipped weights.
    device
        See `napari_vos.device`.

    Returns
    -------
    RefinedLabels
        A lazy stack: each frame is refined when it is asked for. Every object
        stays, under its id.

    Raises
    ------
    FramesError
        If the shapes differ.
    NapariVosError
        If weights or device can't be used.
    """
    from napari_vos.engines.refinement import MaskRefiner

    expected = (frames.n_frames, *frames.shape)
    shape = tuple(labels.shape) if hasattr(labels, "shape") else np.shape(labels)
    if shape != expected:
        raise FramesError(
            f"The labels have the shape {shape} (T, Y, X) and '{frames.name}' {expected}. Give "
            "labels of the same frames and size as the images."
        )
    refiner = MaskRefiner.create(frames, config=config, weights=weights, device=device)
    return RefinedLabels(refiner, labels, expected, object_ids)

"""Images annotated in the format of COCO as training data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from napari_vos.errors import FramesError
from napari_vos.training.fields import UNKNOWN, boxes_around
from napari_vos.training.yolact import Truth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.frames import FrameStack
    from napari_vos.io.coco import CocoDataset, CocoImage


class LabelledImage:
    """An annotated image as `LabelledFrames` with a single frame.

    Parameters
    ----------
    image
        The image; its crowds are `UNKNOWN`, what else has no mask is background.
    """

    def __init__(self, image: CocoImage) -> None:
        self._image = image
        self.filled = [0] if any(not each.get("iscrowd") for each in image.annotations) else []

    @cached_property
    def frames(self) -> FrameStack:
        """The image."""
        return self._image.frames()

    def labels(self, t: int) -> NDArray[np.int32]:
        """Return the labels (Y, X); of two instances the smaller one lies above."""
        labels = np.zeros(self._image.shape, np.int32)
        instances = self._image.instances()
        for crowd in (each for each in instances if each.is_crowd):
            labels[crowd.mask] = UNKNOWN
        single = sorted(
            (each.mask for each in instances if not each.is_crowd), key=lambda m: -m.sum()
        )
        for label, mask in enumerate(single, 1):
            labels[mask] = label
        return labels


def truth_of_image(
    image: CocoImage, dataset: CocoDataset, classes: Sequence[str], *, size: int
) -> Truth:
    """Return what a published network is to find on an image.

    Parameters
    ----------
    image, dataset
        The image, and what it is from.
    classes
        Names of the network's classes, in their order, without the background.
    size
        Side of the network's input: masks are brought to it.

    Raises
    ------
    FramesError
        If the image shows something of a category that isn't a class.
    """
    instances = image.instances()
    names = [dataset.categories[instance.kind] for instance in instances]
    strange = sorted(set(names) - set(classes))
    if strange:
        raise FramesError(
            f"'{image.path.name}' shows {', '.join(strange)}, and the classes are "
            f"{', '.join(classes)}. Rename the categories, or choose a network with these classes."
        )
    masks = torch.zeros(len(instances), size, size)
    for index, instance in enumerate(instances):
        mask = torch.from_numpy(instance.mask)[None, None].float()
        masks[index] = functional.interpolate(mask, size=(size, size), mode="nearest-exact")[0, 0]
    is_there = masks.any(dim=(1, 2))
    is_crowd = torch.tensor([instance.is_crowd for instance in instances], dtype=torch.bool)
    kinds = torch.tensor([classes.index(name) for name in names], dtype=torch.long)
    single, crowds = is_there & ~is_crowd, is_there & is_crowd
    return Truth(
        boxes_around(masks[single] > 0),
        kinds[single],
        masks[single],
        boxes_around(masks[crowds] > 0),
    )

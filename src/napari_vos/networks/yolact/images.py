"""What the networks are given: square images in the range they were trained with."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_vos.networks.yolact.network import SIZE, Design

MEAN = (123.68, 116.78, 103.94)
DEVIATION = (58.40, 57.12, 57.38)
"""Of the RGB channels of ImageNet, in [0, 255]."""


def prepare_images(images: Tensor, design: Design, size: int = SIZE) -> Tensor:
    """Resize and normalise images, whatever their aspect ratio.

    Parameters
    ----------
    images
        (B, 3, H, W) float RGB in [0, 255].
    design
        Of the network they are for: DarkNet takes [0, 1], ResNets take the
        mean of ImageNet as 0 and its deviation as 1.
    size
        Side of the network's input.

    Returns
    -------
    Tensor
        (B, 3, size, size).
    """
    resized = functional.interpolate(
        images, size=(size, size), mode="bilinear", align_corners=False
    )
    if design.backbone == "darknet53":
        return resized / 255
    mean, deviation = (
        torch.tensor(values, device=images.device)[:, None, None] for values in (MEAN, DEVIATION)
    )
    return (resized - mean) / deviation

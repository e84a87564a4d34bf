"""The heads of PointRend: classes at a point, from what is known there.

Kirillov, Wu, He, Girshick, "PointRend: Image Segmentation as Rendering", CVPR 2020,
section 3.3. Names of attributes follow the keys of published checkpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    Head = Callable[[Tensor, Tensor], Tensor]
    """Logits (B, classes, N) from coarse predictions and fine features at N points."""


class PointHead(nn.Module):
    """A single linear layer on [coarse, fine], as a published PyTorch version has it.

    Parameters
    ----------
    inputs
        Channels of coarse prediction and fine features together.
    classes
        Number of classes.
    """

    def __init__(self, inputs: int = 533, classes: int = 21) -> None:
        super().__init__()
        self.mlp = nn.Conv1d(inputs, classes, 1)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return logits (B, classes, N) at points.

        Parameters
        ----------
        coarse
            (B, C, N), the coarse prediction.
        fine
            (B, inputs - C, N), features of the image.
        """
        logits: Tensor = self.mlp(torch.cat([coarse, fine], dim=1))
        return logits


class LayeredPointHead(nn.Module):
    """Hidden layers on [fine, coarse], the coarse prediction joined again after each.

    The form of the reference, in which `coarse` and `classes` are equal.

    Parameters
    ----------
    fine
        Channels of fine features.
    coarse
        Channels of the coarse prediction.
    classes
        Number of classes.
    width
        Channels of a hidden layer.
    layers
        Number of hidden layers.
    """

    def __init__(
        self, fine: int, coarse: int, classes: int, *, width: int = 256, layers: int = 3
    ) -> None:
        super().__init__()
        self.layers = layers
        inputs = fine + coarse
        for number in range(1, layers + 1):
            self.add_module(f"fc{number}", nn.Conv1d(inputs, width, 1))
            inputs = width + coarse
        self.predictor = nn.Conv1d(inputs, classes, 1)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return logits (B, classes, N) from (B, coarse, N) and (B, fine, N)."""
        x = torch.cat([fine, coarse], dim=1)
        for number in range(1, self.layers + 1):
            hidden = functional.relu(self.get_submodule(f"fc{number}")(x))
            x = torch.cat([hidden, coarse], dim=1)
        logits: Tensor = self.predictor(x)
        return logits

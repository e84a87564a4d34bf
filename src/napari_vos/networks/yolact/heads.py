"""What YOLACT reads off the pyramid: prototypes, and for each prior a box, classes, coefficients.

Names of attributes follow the keys of the authors' checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_vos.networks.yolact.pyramid import DEPTH

N_PROTOTYPES = 32


class Double(nn.Module):
    """Twice as many pixels on each side."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, 2H, 2W) from (B, C, H, W)."""
        return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def prototype_network(depth: int = DEPTH, n_more: int = 0) -> nn.Sequential:
    """Return what makes (B, 32, 2H, 2W) prototypes, none below 0, from the finest level.

    Parameters
    ----------
    depth
        Channels of the level.
    n_more
        Channels that come beside.
    """

    def convolution(inputs: int = depth) -> tuple[nn.Module, nn.Module]:
        return nn.Conv2d(inputs, depth, 3, padding=1), nn.ReLU()

    return nn.Sequential(
        *convolution(depth + n_more),
        *convolution(),
        *convolution(),
        Double(),
        nn.ReLU(),
        *convolution(),
        nn.Conv2d(depth, N_PROTOTYPES, 1),
        nn.ReLU(),
    )


class PredictionHead(nn.Module):
    """Boxes, classes and coefficients at each position of a level.

    Parameters
    ----------
    n_anchors
        Priors at a position.
    n_classes
        With the background.
    depth
        Channels of the levels.
    n_more
        Channels that come beside.
    n_coefficients
        Of prototypes, or pixels of the mask that each prior predicts by itself.
    activation
        Of these.
    n_codes
        Numbers that tell instances apart, see `Design.instance_codes`.
    """

    def __init__(
        self,
        n_anchors: int,
        n_classes: int,
        depth: int = DEPTH,
        *,
        n_more: int = 0,
        n_coefficients: int = N_PROTOTYPES,
        activation: Callable[[Tensor], Tensor] = torch.tanh,
        n_codes: int = 0,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.n_classes, self.n_coefficients, self.n_codes = n_classes, n_coefficients, n_codes
        self.upfeature = nn.Sequential(nn.Conv2d(depth + n_more, depth, 3, padding=1), nn.ReLU())
        self.bbox_layer = nn.Conv2d(depth, n_anchors * 4, 3, padding=1)
        self.conf_layer = nn.Conv2d(depth, n_anchors * n_classes, 3, padding=1)
        self.mask_layer = nn.Conv2d(depth, n_anchors * n_coefficients, 3, padding=1)
        if n_codes:
            self.inst_layer = nn.Conv2d(depth, n_anchors * n_codes, 3, padding=1)

    def forward(self, level: Tensor) -> tuple[Tensor, ...]:
        """Return what is said of the A priors of a level (B, depth, H, W).

        Returns
        -------
        tuple[Tensor, ...]
            Encoded boxes (B, H·W·A, 4), class logits (B, H·W·A, n_classes), and
            coefficients (B, H·W·A, 32) after the activation; row by row, then
            anchors. If there are any, codes of instances (B, H·W·A, n_codes) besides.
        """
        x = self.upfeature(level)
        said = (
            _of_priors(self.bbox_layer(x), 4),
            _of_priors(self.conf_layer(x), self.n_classes),
            self.activation(_of_priors(self.mask_layer(x), self.n_coefficients)),
        )
        return (*said, _of_priors(self.inst_layer(x), self.n_codes)) if self.n_codes else said


def _of_priors(x: Tensor, n_values: int) -> Tensor:
    return x.movedim(1, -1).reshape(len(x), -1, n_values)

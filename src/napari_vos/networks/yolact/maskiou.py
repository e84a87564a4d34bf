"""How well a mask fits, judged from the mask alone (YOLACT++).

After Huang et al., "Mask Scoring R-CNN", CVPR 2019. Names of attributes follow
the keys of the authors' checkpoints.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

WIDTHS = (1, 8, 16, 32, 64, 128)
SMALLEST_SIDE = 63
"""Of the prototypes: five convolutions of stride 2 without padding leave 1."""


class MaskIouNetwork(nn.Module):
    """Predict the IoU of masks with the truth, for each class they may be of.

    Parameters
    ----------
    n_classes
        Without the background.
    """

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(WIDTHS):
            layers += [nn.Conv2d(inputs, outputs, 3, 2), nn.ReLU()]
        layers += [nn.Conv2d(WIDTHS[-1], n_classes, 1), nn.ReLU()]
        self.maskiou_net = nn.Sequential(*layers)

    def forward(self, masks: Tensor) -> Tensor:
        """Return (D, n_classes), none below 0.

        Parameters
        ----------
        masks
            (D, 1, H, W) in [0, 1], H and W at least `SMALLEST_SIDE`: of the
            prototypes' size, cropped and not yet thresholded.
        """
        if min(masks.shape[-2:]) < SMALLEST_SIDE:
            raise ValueError(
                f"Masks must be at least {SMALLEST_SIDE} pixels wide and high, got "
                f"{tuple(masks.shape[-2:])}."
            )
        out: Tensor = self.maskiou_net(masks)
        return out.amax(dim=(2, 3))

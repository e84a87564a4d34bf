"""The network of MAST: features by which pixels of different frames are matched.

Lai, Lu, Xie, "MAST: A Memory-Augmented Self-Supervised Tracker", CVPR 2020.

Names of attributes follow the keys of the authors' checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 4
"""Pixels per feature; feature i belongs to pixel 4i."""

WIDTH, SMALL_WIDTH = 64, 16
"""Channels of the first stage: of the authors' network, and of ours."""

DEPTH, SMALL_DEPTH = 64, 32
"""Channels of the features."""

SHARPNESS = 16.0
"""The product of our features where two look the same; it is at least minus that."""

FIELD = 64
"""Pixels around its own that a feature depends on, on each side at most."""

BAND_PIXELS = 1 << 20
"""Features are computed of about so many pixels at a time."""


class _Block(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.left = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = (
            nn.Sequential()
            if inputs == outputs
            else nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.left(x) + self.shortcut(x))


class _Trunk(nn.Module):
    """ResNet-18 without max-pool, of stride 4."""

    def __init__(self, width: int) -> None:
        super().__init__()
        wider, widest = 2 * width, 4 * width
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, width, 7, 2, padding=3, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.layer1 = nn.Sequential(_Block(width, width), _Block(width, width))
        self.layer2 = nn.Sequential(_Block(width, wider, stride=2), _Block(wider, wider))
        self.layer3 = nn.Sequential(_Block(wider, widest), _Block(widest, widest))
        self.layer4 = nn.Sequential(_Block(widest, widest), _Block(widest, widest))

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(self.conv1(x)))
        features: Tensor = self.layer4(self.layer3(x))
        return features


class Mast(nn.Module):
    """Features of a frame; `read` matches those of a frame with those of earlier ones.

    Parameters
    ----------
    width
        Channels of its first stage; the others have two and four times as many.
    depth
        Channels of its features.
    """

    def __init__(self, width: int = WIDTH, depth: int = DEPTH) -> None:
        super().__init__()
        self.depth = depth
        self.feature_extraction = _Trunk(width)
        self.post_convolution = nn.Conv2d(4 * width, depth, 3, padding=1)

    def forward(self, lab: Tensor) -> Tensor:
        """Return the features of frames.

        Parameters
        ----------
        lab
            (B, 3, H, W) float, about -1 to 1, as from `rgb_to_lab`.

        Returns
        -------
        Tensor
            (B, D, H/4, W/4), sizes rounded up.
        """
        features: Tensor = self.post_convolution(self.feature_extraction(lab))
        return features

    @torch.no_grad()
    def encode(self, lab: Tensor) -> Tensor:
        """Return what `forward` does in evaluation mode, a band of rows at a time.

        So what it takes beside the result grows with the frame's width and not
        with its area.
        """
        height, width = lab.shape[2:]
        step = max(1, BAND_PIXELS // width // STRIDE) * STRIDE
        bands = []
        for top in range(0, height, step):
            first = max(0, top - FIELD)
            features: Tensor = self(lab[:, :, first : top + step + FIELD])
            skipped = (top - first) // STRIDE
            bands.append(features[:, :, skipped : skipped + step // STRIDE])
        return torch.cat(bands, dim=2)


class MastSmall(Mast):
    """The network of our own weights: narrower, and shown the bands of grey frames.

    Its features have all the same length: how alike two of them are is a matter of
    direction alone, and weights that are hardly trained match sharply.
    """

    def __init__(self) -> None:
        super().__init__(SMALL_WIDTH, SMALL_DEPTH)

    def forward(self, lab: Tensor) -> Tensor:
        """Return the features of frames, see `Mast.forward`; of length √`SHARPNESS`."""
        features: Tensor = SHARPNESS**0.5 * functional.normalize(super().forward(lab), dim=1)
        return features

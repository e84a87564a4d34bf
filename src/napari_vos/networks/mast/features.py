"""The network of MAST: features by which pixels of different frames are matched.

Lai, Lu, Xie, "MAST: A Memory-Augmented Self-Supervised Tracker", CVPR 2020.

Names of attributes follow the keys of the authors' checkpoints.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

STRIDE = 4
"""Pixels per feature; feature i belongs to pixel 4i."""


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

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU()
        )
        self.layer1 = nn.Sequential(_Block(64, 64), _Block(64, 64))
        self.layer2 = nn.Sequential(_Block(64, 128, stride=2), _Block(128, 128))
        self.layer3 = nn.Sequential(_Block(128, 256), _Block(256, 256))
        self.layer4 = nn.Sequential(_Block(256, 256), _Block(256, 256))

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(self.conv1(x)))
        features: Tensor = self.layer4(self.layer3(x))
        return features


class Mast(nn.Module):
    """Features of a frame; `read` matches those of a frame with those of earlier ones."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_extraction = _Trunk()
        self.post_convolution = nn.Conv2d(256, 64, 3, padding=1)

    def forward(self, lab: Tensor) -> Tensor:
        """Return the features of frames.

        Parameters
        ----------
        lab
            (B, 3, H, W) float, about -1 to 1, as from `rgb_to_lab`.

        Returns
        -------
        Tensor
            (B, 64, H/4, W/4), sizes rounded up.
        """
        features: Tensor = self.post_convolution(self.feature_extraction(lab))
        return features

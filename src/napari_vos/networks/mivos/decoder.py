"""The decoder of the propagation network: from memory readout to logits at full size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, each after a ReLU, around a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.downsample = (
            nn.Sequential() if inputs == outputs else nn.Conv2d(inputs, outputs, 3, padding=1)
        )
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, H, W) from (B, inputs, H, W)."""
        residual = self.conv2(functional.relu(self.conv1(functional.relu(x))))
        out: Tensor = residual + self.downsample(x)
        return out


class UpsampleBlock(nn.Module):
    """Add a coarser map, enlarged twice, to a refined skip connection."""

    def __init__(self, skip: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.skip_conv1 = nn.Conv2d(skip, inputs, 3, padding=1)
        self.skip_conv2 = ResidualBlock(inputs, inputs)
        self.out_conv = ResidualBlock(inputs, outputs)

    def refine(self, skip: Tensor) -> Tensor:
        """Return the refined skip connection (B, inputs, H, W)."""
        refined: Tensor = self.skip_conv2(self.skip_conv1(skip))
        return refined

    def forward(self, coarse: Tensor, refined_skip: Tensor) -> Tensor:
        """Return (B, outputs, H, W) from (B, inputs, H/2, W/2) and a refined skip connection."""
        enlarged = functional.interpolate(
            coarse, scale_factor=2, mode="bilinear", align_corners=False
        )
        out: Tensor = self.out_conv(refined_skip + enlarged)
        return out


class Decoder(nn.Module):
    """From stride 16 to logits at full size.

    The skip connections come from the image alone, so they are refined once a
    frame and not once an object.
    """

    def __init__(self) -> None:
        super().__init__()
        self.compress = ResidualBlock(1024, 512)
        self.up_16_8 = UpsampleBlock(512, 512, 256)
        self.up_8_4 = UpsampleBlock(256, 256, 256)
        self.pred = nn.Conv2d(256, 1, 3, padding=1)

    def refine_skips(self, eighth: Tensor, quarter: Tensor) -> tuple[Tensor, Tensor]:
        """Return refined skip connections from 512 and 256 features at strides 8 and 4."""
        return self.up_16_8.refine(eighth), self.up_8_4.refine(quarter)

    def forward(self, x: Tensor, eighth: Tensor, quarter: Tensor) -> Tensor:
        """Return logits (B, 1, H, W).

        Parameters
        ----------
        x
            (B, 1024, H/16, W/16): the memory readout, then the frame's own value.
        eighth, quarter
            Refined skip connections of the frame, or one for each object.
        """
        out = self.up_8_4(self.up_16_8(self.compress(x), eighth), quarter)
        return functional.interpolate(
            self.pred(functional.relu(out)), scale_factor=4, mode="bilinear", align_corners=False
        )

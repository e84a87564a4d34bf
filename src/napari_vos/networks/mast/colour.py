"""Colour as MAST takes it, and as it learns from it.

The network learns by reconstructing a colour channel it was not shown from
where it finds the same thing in earlier frames (Lai, Lu, Xie, CVPR 2020,
section 3.1). In Lab space channels are nearly independent, so that a channel
cannot be told from the others. The bands of a grey frame are a substitute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

RGB_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
WHITE = (0.950456, 1.0, 1.088754)  # D65

LOSS_SCALE = 20.0
"""Errors above 1/20 of a channel's range count linearly, smaller ones as their square."""

BAND_LIMITS = (2.0, 8.0)
"""Standard deviations of the blurs that part the bands of a grey frame, in pixels."""

BAND_GAINS = (0.5, 0.5, 2.0)
"""Give bands about the deviation of the channels of a colour image."""

FAINT_CONTRAST = 0.02
"""Fainter contrast than this share of a movie's range is not brought up to that of the rest."""


def grey_to_bands(grey: Tensor) -> Tensor:
    """Return a substitute for the colour of grey frames: three bands, nearly independent.

    As lightness does in Lab, the first holds the outlines and always stays. One
    of the others, which are smooth enough for the stride of the features, may be
    hidden. The first two are divided by the contrast around each pixel, so that
    faint and bright cells, and those that bleach, look alike.

    Parameters
    ----------
    grey
        (B, 1, H, W) float, about 0 to 1.

    Returns
    -------
    Tensor
        (B, 3, H, W), about -1 to 1: detail; what has the size of cells and
        their parts; and the ground.
    """
    finer, coarser = (_blur(grey, deviation) for deviation in BAND_LIMITS)
    contrast = _blur((grey - coarser) ** 2, BAND_LIMITS[1]).add(FAINT_CONTRAST**2).sqrt()
    bands = torch.cat(
        [(grey - finer) / contrast, (finer - coarser) / contrast, coarser - 0.5], dim=1
    )
    return bands * bands.new_tensor(BAND_GAINS)[:, None, None]


def _blur(grey: Tensor, deviation: float) -> Tensor:
    """Blur (B, 1, H, W) as with a Gaussian; the border is repeated."""
    reach = round(3 * deviation)
    steps = torch.arange(-reach, reach + 1, device=grey.device, dtype=grey.dtype)
    kernel = torch.softmax(-0.5 * (steps / deviation) ** 2, dim=0)
    padded = functional.pad(grey, [reach] * 4, mode="replicate")
    blurred = functional.conv2d(padded, kernel[None, None, :, None])
    return functional.conv2d(blurred, kernel[None, None, None])


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Return the CIE Lab colour of sRGB images.

    Parameters
    ----------
    rgb
        (..., 3, H, W) float in [0, 1].

    Returns
    -------
    Tensor
        (..., 3, H, W): lightness in [-1, 1], a and b about -1 to 1.
    """
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = torch.tensor(RGB_TO_XYZ, dtype=rgb.dtype, device=rgb.device)
    xyz = torch.einsum("ij,...jhw->...ihw", matrix, linear)
    xyz = xyz / xyz.new_tensor(WHITE)[:, None, None]
    x, y, z = torch.where(
        xyz > 0.008856, xyz.clamp(min=0.008856) ** (1 / 3), 7.787 * xyz + 16 / 116
    ).unbind(-3)
    return torch.stack([(116 * y - 66) / 50, 500 * (x - y) / 127, 200 * (y - z) / 127], dim=-3)


def drop_channel(images: Tensor, channel: int) -> tuple[Tensor, Tensor]:
    """Return images without a channel, and the channel.

    Parameters
    ----------
    images
        (..., C, H, W) float, centred at 0.
    channel
        What to hide. In Lab images 1 or 2, drawn anew for each batch; the
        lightness always stays.

    Returns
    -------
    shown
        (..., C, H, W), 0 in the channel, the others scaled by C / (C - 1).
    hidden
        (..., 1, H, W), what is to be reconstructed.
    """
    channels = images.shape[-3]
    scale = images.new_full((channels, 1, 1), channels / (channels - 1))
    scale[channel] = 0
    return images * scale, images[..., channel : channel + 1, :, :]


def reconstruction_loss(read: Tensor, hidden: Tensor) -> Tensor:
    """Return the Huber loss of a channel read from other frames.

    Parameters
    ----------
    read
        (B, 1, H/4, W/4), the channel as `read` gives it.
    hidden
        (B, 1, H, W), the true channel.

    Returns
    -------
    Tensor
        (), at least 0.
    """
    return functional.smooth_l1_loss(
        LOSS_SCALE * full_size(read, (hidden.shape[-2], hidden.shape[-1])), LOSS_SCALE * hidden
    )


def full_size(read: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (B, V, H/4, W/4) at size (H, W), bilinear."""
    return functional.interpolate(read, size, mode="bilinear", align_corners=False)

"""Frames as MAST sees them, and their features, within a byte budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from napari_vos.engines.colours import colour_channels, unit_planes
from napari_vos.networks.mast import STRIDE, MastSmall, grey_to_bands, rgb_to_lab
from napari_vos.store.cache import ByteCache

if TYPE_CHECKING:
    from torch import Tensor

    from napari_vos.frames import FrameStack
    from napari_vos.networks.mast import Mast


class MastFrames:
    """Features by frame; the least recently used are forgotten first.

    Parameters
    ----------
    frames
        The stack.
    network
        What makes the features, on its device and in its precision.
    cache_bytes
        How many bytes of features to keep. It decides on time alone.
    """

    def __init__(self, frames: FrameStack, network: Mast, *, cache_bytes: int) -> None:
        self._frames = frames
        self._network = network
        self._features: ByteCache[Tensor] = ByteCache(cache_bytes)

    def features(self, t: int, spacing: int) -> Tensor:
        """Return the features (1, D, h, w) of every `spacing`-th pixel of frame `t`."""
        name = f"{t} at {spacing}"
        features = self._features.get(name)
        if features is None:
            weight = self._network.post_convolution.weight
            bands = isinstance(self._network, MastSmall)
            planes = without_copies(planes_of(self._frames, t))
            image = show(spaced(planes, spacing), bands=bands)[None]
            features = self._network.encode(image.to(weight.device, weight.dtype))
            self._features.put(name, features, features.nbytes)
        return features


def planes_of(frames: FrameStack, t: int) -> Tensor:
    """Return the chosen channels of frame `t`, (C, Y, X) float32 from 0 to 1; see `unit_planes`."""
    return torch.from_numpy(unit_planes(frames, t).copy())


def without_copies(planes: Tensor) -> Tensor:
    """Return planes (..., C, Y, X) with a single channel where all are the same.

    A grey movie that was saved as colour is a grey one: it has no colour that could be hidden.
    """
    first = planes[..., :1, :, :]
    return first if torch.equal(planes, first.expand_as(planes)) else planes


def spaced(planes: Tensor, spacing: int) -> Tensor:
    """Return planes (C, Y, X) so much larger or smaller that features are `spacing` pixels apart.

    (C, `STRIDE` · h, `STRIDE` · w); the planes as they are where that is their stride already.
    """
    if spacing == STRIDE:
        return planes
    height, width = planes.shape[1:]
    ends = (0, -width % spacing, 0, -height % spacing)
    whole = functional.pad(planes[None], ends, mode="replicate")
    size = [STRIDE * side // spacing for side in whole.shape[2:]]
    return functional.interpolate(whole, size, mode="bilinear", antialias=spacing > STRIDE)[0]


def show(planes: Tensor, *, bands: bool) -> Tensor:
    """Return a frame as MAST sees it, (3, Y, X) float32, about -1 to 1.

    Parameters
    ----------
    planes
        (C, Y, X), see `colour_channels`.
    bands
        Whether a single one is split into bands, see `grey_to_bands`, or shown
        as grey.
    """
    if bands and len(planes) == 1:
        return grey_to_bands(planes[None])[0]
    return rgb_to_lab(planes[colour_channels(len(planes))])

"""Frames as MiVOS sees them, and what was computed of them, within a byte budget."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_vos.networks.mivos.propagation import STRIDE
from napari_vos.networks.padding import Padding

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_vos.frames import FrameStack
    from napari_vos.networks.mivos import Query

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""Of the colours of natural images, red first."""


def normalized_image(frames: FrameStack, t: int, device: torch.device) -> Tensor:
    """Return frame `t` as MiVOS takes it: (1, 3, Y, X) float32.

    Colour images of 8 bits are divided by 255, as the authors do; of all others
    the range of the movie becomes 0 to 1. Grey is shown as grey.
    """
    channels = list(frames.channels)
    if frames.dtype == np.uint8 and len(channels) == len(MEAN):
        planes = frames.read(t)[channels].astype(np.float32) / np.float32(255)
    else:
        planes = frames.normalized(t)
        planes = planes[[min(index, len(planes) - 1) for index in range(len(MEAN))]]
    image = torch.from_numpy(planes).to(device)
    mean, deviation = (image.new_tensor(x)[:, None, None] for x in (MEAN, DEVIATION))
    return ((image - mean) / deviation)[None]


class MivosFrames:
    """Images and queries by frame; the least recently used queries are forgotten first.

    Parameters
    ----------
    frames
        The stack.
    device
        Where images go.
    encode
        Makes the query of a (1, 3, H, W) image.
    cache_bytes
        How many bytes of queries to keep. It decides on time alone.
    """

    def __init__(
        self,
        frames: FrameStack,
        device: torch.device,
        encode: Callable[[Tensor], Query],
        *,
        cache_bytes: int,
    ) -> None:
        self.padding = Padding.to_multiple(STRIDE, frames.shape)
        self._frames = frames
        self._device = device
        self._encode = encode
        self._budget = cache_bytes
        self._queries: OrderedDict[int, Query] = OrderedDict()

    def image(self, t: int) -> Tensor:
        """Return frame `t`, normalised and padded: (1, 3, H, W) float32."""
        return self.padding.add(normalized_image(self._frames, t, self._device))

    def query(self, t: int, image: Tensor) -> Query:
        """Return what frame `t` with this image is asked for."""
        query = self._queries.pop(t, None) or self._encode(image)
        size = sum(x.nbytes for x in query)
        if size <= self._budget:
            self._queries[t] = query
            while len(self._queries) * size > self._budget:
                self._queries.popitem(last=False)
        return query

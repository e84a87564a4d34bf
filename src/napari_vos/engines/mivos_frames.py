"""Frames as MiVOS sees them, and what was computed of them, within a byte budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_vos.engines.colours import colour_channels, unit_planes
from napari_vos.engines.uploads import Uploads
from napari_vos.store.cache import ByteCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_vos.engines.mivos_scale import WorkingFrame
    from napari_vos.frames import FrameStack
    from napari_vos.networks.mivos import Query

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""Of the colours of natural images, red first."""


IMAGE_BYTES = 12
QUERY_BYTES = 106
"""Of an image, and of what is computed of it in float32, per pixel."""

SOME_BYTES = 512 << 20
"""What profiles 1 and 2 keep of what was computed."""

FREE_SHARE = 0.25
"""What "auto" takes of the free memory for what only makes later rounds faster."""


def normalized_image(frames: FrameStack, t: int) -> Tensor:
    """Return frame `t` as MiVOS takes it, on the CPU: (1, 3, Y, X) float32.

    Colour images of 8 bits are divided by 255, as the authors do; of all others
    the range of the movie becomes 0 to 1. Grey is shown as grey.
    """
    planes = unit_planes(frames, t)
    image = torch.from_numpy(planes[colour_channels(len(planes))])
    mean, deviation = (image.new_tensor(x)[:, None, None] for x in (MEAN, DEVIATION))
    return ((image - mean) / deviation)[None]


def cache_budgets(
    profile: int | str, *, n_frames: int, pixels: int, itemsize: int, free: int
) -> tuple[int, int]:
    """Return how many bytes of images, and of what is computed of them, to keep on the device.

    Parameters
    ----------
    profile
        What to keep. 0: images and features of all frames; 1: all images and some
        features; 2: some features; 3: those of the frame in work. "auto": the first
        of these that leaves enough free.
    n_frames, pixels
        Frames, and pixels of each.
    itemsize
        Bytes of a number in the networks.
    free
        Bytes that are free on the device.
    """
    images = n_frames * pixels * IMAGE_BYTES
    features = n_frames * pixels * QUERY_BYTES * itemsize // 4
    some = min(SOME_BYTES, features)
    profiles = [(images, features), (images, some), (0, some), (0, 0)]
    if profile == "auto":
        return next(kept for kept in profiles if sum(kept) <= FREE_SHARE * free)
    return profiles[int(profile)]


class MivosFrames:
    """Images and queries by frame; the least recently used are forgotten first.

    Those of the frame in work always stay. What is kept decides on time alone.

    Parameters
    ----------
    frames
        The stack.
    device
        Where images go.
    encode
        Makes the query of a (1, 3, H, W) image.
    budgets
        How many bytes of images and of queries to keep.
    """

    def __init__(
        self,
        frames: FrameStack,
        device: torch.device,
        encode: Callable[[Tensor], Query],
        budgets: tuple[int, int],
    ) -> None:
        self.budgets = budgets
        self._frames = frames
        self._encode = encode
        self._uploads = Uploads(device)
        self._images: ByteCache[Tensor] = ByteCache(budgets[0])
        self._queries: ByteCache[Query] = ByteCache(budgets[1])

    def image(self, t: int, working: WorkingFrame) -> Tensor:
        """Return frame `t`, normalised, scaled and padded: (1, 3, H, W) float32."""
        name = _name(t, working)
        image = self._images.get(name)
        if image is None:
            image = self._uploads.take(name)
            if image is None:
                image = self._uploads.send(self._prepared(t, working))
            self._images.put(name, image, image.nbytes)
        return image

    def expect(self, t: int, working: WorkingFrame) -> None:
        """Send frame `t` ahead while the device is at work on another one."""
        name = _name(t, working)
        if self._uploads.are_ahead and self._images.get(name) is None:
            self._uploads.begin(name, self._prepared(t, working))

    def query(self, t: int, working: WorkingFrame) -> Query:
        """Return what frame `t` is asked for."""
        name = _name(t, working)
        query = self._queries.get(name)
        if query is None:
            query = self._encode(self.image(t, working))
            self._queries.put(name, query, sum(part.nbytes for part in query))
        return query

    def _prepared(self, t: int, working: WorkingFrame) -> Tensor:
        return working.enter(normalized_image(self._frames, t))


def _name(t: int, working: WorkingFrame) -> str:
    return f"{t} at {working.scale}"

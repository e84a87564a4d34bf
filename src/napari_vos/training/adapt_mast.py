"""What the MAST network learns a stack from: the stack itself, without any label."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch

from napari_vos import checkpoints
from napari_vos.training.adapt import check_frames
from napari_vos.training.mast import Losses, reconstruct
from napari_vos.training.movies import Clips, crop_side, cut_clip, load_movie

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from napari_vos.frames import FrameStack
    from napari_vos.networks.mast import MastSmall

AGES = ((1,), (2, 1), (3, 2, 1), (5, 3, 1), (20, 3, 1))
"""Sets of ages of references, in frames; each batch takes one."""

CROP = 96
"""Side of clips in pixels at most."""


class MastLessons:
    """Clips of a stack, each with a channel hidden; see `adapt.Lessons`.

    Parameters
    ----------
    frames
        The stack.
    weights
        File to start from, of our own network.

    Raises
    ------
    NapariVosError
        If images or weights can't be used.
    """

    name = "mast_small"
    learning_rate = 1e-4
    batch_size = 4
    clip_bytes = 160 << 20
    share = 1.0

    def __init__(self, frames: FrameStack, weights: Path) -> None:
        check_frames(frames)
        self.network = cast("MastSmall", checkpoints.load_network("mast_small", weights))
        self._movie = load_movie(frames)
        self._side = crop_side([self._movie], CROP)

    def batch(self, rng: np.random.Generator, size: int) -> Clips:
        """Return `size` clips; see `adapt.Lessons`."""
        ages = AGES[int(rng.integers(len(AGES)))]
        clips = [cut_clip(rng, self._movie, ages=ages, side=self._side) for _ in range(size)]
        return Clips(torch.stack(clips), torch.tensor(ages))

    def losses(self, network: MastSmall, batch: Clips, generator: torch.Generator) -> Losses:
        """Return the loss of what is reconstructed; see `reconstruct`."""
        return reconstruct(network, batch, generator)

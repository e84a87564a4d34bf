"""Loading what makes masks while the user is still drawing the first stroke."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from napari_vos.errors import NapariVosError
from napari_vos.frames import FrameStack
from napari_vos.session import Session

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_vos._napari.job import EngineOptions


def prepare(interactor: EngineOptions) -> Generator[None]:
    """Make a mask on a tiny movie in a worker: libraries and weights are loaded then.

    What can't be used is told when something is drawn.
    """
    chosen = vars(interactor).copy()
    images = np.random.default_rng(0).random((2, 64, 64), np.float32)
    with suppress(NapariVosError), Session(FrameStack(images, axes="TYX")) as session:
        session.choose_interactor(chosen.pop("engine"), **chosen)
        session.add_points(0, {1: (32, 32)})
    yield

"""Loading what makes masks while the user is still drawing the first stroke."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from napari_vos.errors import NapariVosError
from napari_vos.frames import FrameStack
from napari_vos.prompts import draw, point_prompt
from napari_vos.session.engine import EngineChoice

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_vos._napari.job import EngineOptions


def prepare(interactor: EngineOptions) -> Generator[None]:
    """Make a mask on a tiny movie in a worker: libraries and weights are loaded then.

    What can't be used is told when something is drawn.
    """
    chosen = vars(interactor).copy()
    frames = FrameStack(np.random.default_rng(0).random((2, 64, 64), np.float32), axes="TYX")
    with suppress(NapariVosError):
        made = EngineChoice(chosen.pop("engine"), **chosen).create_interactor(frames)
        drawing = draw([point_prompt(0, 1, (32, 32))], frames.shape)
        made.segment(drawing, np.zeros(frames.shape, np.uint16))
    yield

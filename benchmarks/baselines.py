"""What propagation must beat: the first frame copied, and masks warped by optical flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.registration import optical_flow_ilk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos import FrameStack

RADIUS = 9
"""Of the window in which Lucas-Kanade takes the motion for constant, in pixels."""


def copy_first_frame(frames: FrameStack, prompt: NDArray[np.uint16], stop: int) -> np.ndarray:
    """Return the prompt on every frame before `stop`."""
    labels = np.zeros((frames.n_frames, *frames.shape), np.uint16)
    labels[:stop] = prompt
    return labels


def warp_by_flow(frames: FrameStack, prompt: NDArray[np.uint16], stop: int) -> np.ndarray:
    """Carry the prompt from frame to frame along dense optical flow.

    The flow tells for each pixel of the new frame where it was on the frame
    before; the label is taken from the nearest pixel there, at the border from the last one within.
    """
    labels = copy_first_frame(frames, prompt, 1)
    places = np.indices(frames.shape).astype(np.float32)
    for t in range(1, stop):
        new, old = frames.normalized(t)[0], frames.normalized(t - 1)[0]
        flow = optical_flow_ilk(new, old, radius=RADIUS)
        labels[t] = ndimage.map_coordinates(labels[t - 1], places + flow, order=0, mode="nearest")
    return labels


BASELINES: dict[str, Callable[..., np.ndarray]] = {
    "copy": copy_first_frame,
    "flow": warp_by_flow,
}

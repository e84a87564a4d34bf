"""A picture to learn from."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

SHAPE = (80, 90)


def disks() -> tuple[np.ndarray, np.ndarray]:
    """A picture of two textured disks, and their labels."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    labels = np.zeros(SHAPE, np.uint16)
    labels[(y - 30) ** 2 + (x - 40) ** 2 < 12**2] = 3
    labels[(y - 60) ** 2 + (x - 70) ** 2 < 9**2] = 8
    noise = np.random.default_rng(0).standard_normal(SHAPE)
    image = 100 * (labels > 0) + 30 * ndimage.gaussian_filter(noise, 1.5) + 5 * noise
    return (500 + image).astype(np.float32), labels

"""Make the picture of `adapt.md`: masks before and after adapting to a movie.

Run `python docs/make_adapt_picture.py MINUTES`. Simulated cells lie on a slide with bright
stripes, which no movie of the training had. They are marked on the first frame alone, and
propagated to the last one with the weights of the package, and with the adapted ones.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from skimage import io
from skimage.segmentation import find_boundaries

from napari_vos import FrameStack, Session
from napari_vos.metrics import region_similarity
from napari_vos.simulation import Modality, Scenario, simulate

IMAGES = Path(__file__).with_name("images")
SEED = 5
CELLS = Scenario(
    modality=Modality.FLUORESCENCE,
    shape=(200, 200),
    n_frames=10,
    n_cells=6,
    diameter=38.0,
    elongation=1.3,
    irregularity=0.12,
    arms=0.3,
    speed=0.1,
    deformation=0.25,
    clustering=0.0,
    division_rate=0.0,
    death_rate=0.0,
    entry_rate=0.0,
)
STRIPE, SLANT, NOISE = 8.0, 0.3, 0.03
"""Width of stripes in pixels, and their slope; noise relative to their brightness."""

ENLARGED, GAP = 2, 8
COLOURS = np.array(
    [(255, 90, 90), (90, 220, 90), (90, 160, 255), (255, 210, 60), (230, 110, 255), (80, 230, 230)]
)


def movie() -> tuple[Any, Any]:
    """Return images (T, Y, X) uint16, and labels."""
    cells = simulate(CELLS, seed=SEED)
    y, x = np.mgrid[: CELLS.shape[0], : CELLS.shape[1]]
    stripes = (x + SLANT * y) // STRIPE % 2
    noise = np.random.default_rng(SEED).standard_normal(cells.images.shape)
    bright = cells.images / np.percentile(cells.images, 99.8)
    seen = 0.4 * bright + 0.5 * stripes + NOISE * noise
    return (10000 * (seen + 0.2)).astype(np.uint16), cells.labels


def propagate(session: Session) -> Any:
    session.run()
    return np.asarray(session.labels[:])


def jaccard(labels: Any, truth: Any, frames: range) -> float:
    """Return the mean over objects and frames."""
    ids = np.unique(truth[0][truth[0] > 0])
    there = [(t, i) for t in frames for i in ids if (truth[t] == i).any()]
    return fmean(region_similarity(labels[t] == i, truth[t] == i) for t, i in there)


def panel(image: Any, labels: Any) -> Any:
    """Return an image (Y, X) as it is shown, (Y', X', 3) uint8, with outlines of labels."""
    low, high = np.percentile(image, (1, 99.8))
    grey = ((image - low) / (high - low)).clip(0, 1).repeat(ENLARGED, 0).repeat(ENLARGED, 1)
    shown = (255 * grey[..., None].repeat(3, axis=2)).astype(np.uint8)
    large = labels.repeat(ENLARGED, 0).repeat(ENLARGED, 1)
    border = find_boundaries(large, mode="inner")
    shown[border] = COLOURS[large[border] % len(COLOURS)]
    return shown


def draw(image: Any, *labels: Any) -> None:
    panels = [panel(image, each) for each in (np.zeros_like(labels[0]), *labels)]
    gap = np.full((len(panels[0]), GAP, 3), 255, np.uint8)
    row = [part for each in panels for part in (each, gap)][:-1]
    io.imsave(IMAGES / "adapt.png", np.concatenate(row, axis=1))


def main() -> None:
    images, truth = movie()
    with Session(FrameStack(images, axes="TYX")) as session:
        session.add_mask(0, truth[0])
        before = propagate(session)
        for _ in session.adapt(minutes=float(sys.argv[1])):
            pass
        print(session.adapted.steps, "steps.", session.adapted)
        after = propagate(session)
    for frames in (range(1, len(images)), range(len(images) - 1, len(images))):
        scores = [jaccard(labels, truth, frames) for labels in (before, after)]
        print(f"frames {frames[0]} to {frames[-1]}: J {scores[0]:.3f} -> {scores[1]:.3f}")
    draw(images[-1], before[-1], after[-1], truth[-1])


if __name__ == "__main__":
    main()

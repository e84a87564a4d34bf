"""Make the picture of `adapt.md`: masks before and after adapting to a simulated movie.

Run `python docs/make_adapt_picture.py`; it learns for the minutes the page names. The movie is
one on which the weights of the package do badly. Frame 0 is marked; the picture shows the last one.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from skimage import io

from napari_vos import FrameStack, Session
from napari_vos.metrics import evaluate
from napari_vos.simulation import Modality, random_scenario, simulate

IMAGES = Path(__file__).with_name("images")
SEED = 21
ENLARGED = 2
TRUE, FOUND = (90, 230, 90), (255, 150, 0)


def propagate(session: Session, truth: Any) -> tuple[Any, float]:
    """Return the labels of the last frame, and J over the movie."""
    session.run()
    labels = np.asarray(session.labels[:])
    return labels[-1], evaluate(labels, truth, prompts={0: truth[0]}).summary()["J"]


def outlines(labels: Any) -> Any:
    large = labels.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)
    inner = ndimage.minimum_filter(large, 3) == ndimage.maximum_filter(large, 3)
    return (large > 0) & ~inner


def panel(image: Any, truth: Any, found: Any) -> Any:
    """Return a frame with the outlines of the truth, and of what was found, (Y', X', 3) uint8."""
    low, high = np.percentile(image, (0.5, 99.5))
    grey = ndimage.zoom(np.clip((image - low) / (high - low), 0, 1), ENLARGED, order=1)
    shown = np.repeat((200 * grey)[..., None], 3, axis=2)
    shown[outlines(truth)] = TRUE
    shown[outlines(found)] = FOUND
    return shown.astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    args = parser.parse_args()
    scenario = random_scenario(
        np.random.default_rng(SEED), modality=Modality.DIC, shape=(256, 256), n_frames=16
    )
    still = {"division_rate": 0.0, "death_rate": 0.0, "entry_rate": 0.0}
    movie = simulate(replace(scenario, **still), seed=SEED)
    image, truth = movie.images[-1].astype(float), movie.labels
    with Session(FrameStack(movie.images, axes="TYX", name="movie")) as session:
        session.add_mask(0, truth[0])
        before, j_before = propagate(session, truth)
        for step in session.adapt(minutes=args.minutes):
            if step.loss is not None:
                print(f"{step.share:4.0%}  step {step.step}  loss {step.loss:.4f}", flush=True)
        print(session.adapted)
        after, j_after = propagate(session, truth)
    IMAGES.mkdir(exist_ok=True)
    panels = [panel(image, truth[-1], found) for found in (before, after)]
    gap = np.full((panels[0].shape[0], 8, 3), 255, np.uint8)
    picture = np.concatenate([panels[0], gap, panels[1]], axis=1)
    io.imsave(IMAGES / "adapt.png", picture, check_contrast=False)
    print(f"J before {j_before:.3f}, after {j_after:.3f}")


if __name__ == "__main__":
    main()

"""Instances found on single frames: AP50, AP, recall and SEG per sequence.

Frames of the last third of each sequence are searched. The detector is told the typical
diameter of objects, as a user would measure it on the frames for training; so is the baseline,
Otsu's threshold and a watershed of the distance transform. With --minutes the detector also
learns from five frames of the first half before: a sixth of the annotated frames lies between
what is learned from and what is searched.

Frames that have masks of everything are taken first. On others the objects that have a mask
count alone: what is found where nobody has said what there is costs nothing, and isn't
background to learn.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from accuracy import SEQUENCES
from reporting import add_out, add_reference, write_report
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from napari_vos import FrameStack, open_frames, open_labels
from napari_vos.configs import CellsConfig
from napari_vos.engines import create_detector
from napari_vos.metrics import evaluate_instances, find_annotation
from napari_vos.training.own_cells import OwnCellsTraining, train
from napari_vos.training.own_labels import forget, gather

TRAINING_FRAMES = 5
SMALLEST = 1 / 16
"""Area of what the baseline keeps, as a part of the typical one."""


def choose(frames: list[int], complete: set[int], count: int) -> list[int]:
    """Return up to `count` frames, spread, those with masks of everything before others."""
    known = [t for t in frames if t in complete]
    others = [t for t in frames if t not in complete]
    return sorted(_spread(known, count) + _spread(others, max(0, count - len(known))))


def _spread(frames: list[int], count: int) -> list[int]:
    places = np.linspace(0, len(frames) - 1, min(count, len(frames)))
    return [frames[i] for i in np.unique(places.astype(int))]


def split_by_watershed(frames: FrameStack, t: int, diameter: float) -> np.ndarray:
    """Return labels (Y, X) of what is brighter than Otsu's threshold, split at its necks."""
    grey = ndimage.gaussian_filter(frames.normalized(t)[0], diameter / 16)
    bright = ndimage.binary_fill_holes(grey > threshold_otsu(grey))
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(bright), diameter / 16)
    peaks = peak_local_max(
        distance,
        min_distance=max(1, round(diameter / 3)),
        labels=bright.astype(np.uint8),
        exclude_border=False,
    )
    seeds = np.zeros(grey.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = watershed(-distance, seeds, mask=bright)
    areas = np.bincount(labels.ravel())
    labels[areas[labels] < SMALLEST * np.pi * diameter**2 / 4] = 0
    return labels


def score(folder: Path, count: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one sequence: baseline, detector, and detector after training."""
    stack = open_labels(folder / "labels.tif")
    frames = open_frames(folder / "images.tif")
    annotation = find_annotation(folder / "labels.tif")
    filled = stack.non_empty_frames()
    complete = set(filled) if annotation is None else set(annotation.complete_frames)
    learned = choose(filled[: -(-len(filled) // 2)], complete, TRAINING_FRAMES)
    searched = choose(filled[2 * len(filled) // 3 :], complete, count)
    known = gather(frames, stack, annotated=learned, incomplete=set(learned) - complete)
    truth = np.stack([stack[t] for t in searched])
    unknown = [(stack[t] == 0) & (t not in complete) for t in searched]
    diameter = known.diameter

    def find(weights: str | Path | None, diameter: float) -> Callable[[int], np.ndarray]:
        config = CellsConfig(diameter=max(4.0, diameter))
        detector = create_detector(
            "cells", frames, config=config, weights=weights, device=arguments.device
        )
        return lambda t: (
            detector.detect(t).instances(score=arguments.score, overlap=arguments.overlap).labels
        )

    figures: dict[str, Any] = {"frames": searched, "learned": learned, "diameter": diameter}
    methods = {
        "watershed": lambda t: split_by_watershed(frames, t, diameter),
        "cells": find(arguments.weights, diameter),
    }
    if arguments.minutes:
        weights = None if arguments.weights is None else Path(arguments.weights)
        with tempfile.TemporaryDirectory() as out:
            recipe = OwnCellsTraining(Path(out), start_from=weights, minutes=arguments.minutes)
            last = train(known, recipe)
            methods["trained"] = find(last.path, last.diameter)
        figures["training"] = {
            "steps": last.step,
            "minutes": last.minutes,
            "held_out_before": last.before.ap50,
            "held_out_after": last.best.ap50,
        }
    for name, segment in methods.items():
        started = time.perf_counter()
        found = [segment(t) for t in searched]
        seconds = (time.perf_counter() - started) / len(searched)
        left = np.stack([forget(*pair) for pair in zip(found, unknown, strict=True)])
        scores = evaluate_instances(left, truth, complete_frames=range(len(searched)))
        figures[name] = {**scores.summary(), "seconds_per_frame": seconds}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_reference(parser)
    parser.add_argument("--sequences", nargs="+", default=SEQUENCES, metavar="NAME")
    parser.add_argument("--frames", type=int, default=5, help="frames per sequence to search")
    parser.add_argument("--weights", help="file; the shipped weights if not given")
    parser.add_argument("--score", type=float, default=0.3)
    parser.add_argument("--overlap", type=float, default=0.5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--minutes", type=float, default=0, help="train on five frames for so long")
    add_out(parser)
    args = parser.parse_args()
    if args.reference is None:
        parser.error("name the reference folder: --reference or NAPARI_VOS_REFERENCE")

    methods = ("watershed", "cells", *["trained"] * bool(args.minutes))
    sequences = {}
    for name in args.sequences:
        found = sequences[name] = score(Path(args.reference) / "data" / name, args.frames, args)
        line = "   ".join(
            f"{method} AP50 {found[method]['AP50']:.3f} SEG {found[method]['SEG']:.3f}"
            for method in methods
        )
        print(f"{name:15} {line}", file=sys.stderr)
    mean = {
        method: {
            key: fmean(found[method][key] for found in sequences.values())
            for key in ("AP50", "AP", "recall", "SEG", "seconds_per_frame")
        }
        for method in methods
    }
    write_report(
        {"weights": args.weights, "minutes": args.minutes, "mean": mean, "sequences": sequences},
        args.out,
    )


if __name__ == "__main__":
    main()

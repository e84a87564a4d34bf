"""Instances found on single frames: AP50, AP, recall and SEG per sequence.

Frames with masks of everything are searched, a few per sequence. The detector is told the
typical diameter of the objects on the first of them, as a user would measure it; so is the
baseline, Otsu's threshold and a watershed of the distance transform.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from refinement import annotated_frames
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from napari_vos import FrameStack, open_frames, open_labels
from napari_vos.configs import CellsConfig
from napari_vos.engines import create_detector
from napari_vos.metrics import evaluate_instances

SEQUENCES = (
    "hela_nuclei_01",
    "hela_nuclei_02",
    "psc_phase_01",
    "sim_nuclei_01",
    "sim_nuclei_02",
    "msc_cells_01",
    "dic_hela_01",
)
SMALLEST = 1 / 16
"""Area of what the baseline keeps, as a part of the typical one."""


def typical_diameter(labels: np.ndarray) -> float:
    """Return the diameter of a disk of the median area."""
    areas = np.bincount(labels[labels > 0])
    return float(2 * np.sqrt(np.median(areas[areas > 0]) / np.pi))


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
    """Return the figures of one sequence, of the baseline and of the detector."""
    stack = open_labels(folder / "labels.tif")
    chosen = annotated_frames(folder, count)
    truth = np.stack([stack[t] for t in chosen])
    frames = open_frames(folder / "images.tif")
    diameter = typical_diameter(truth[0])
    detector = create_detector(
        "cells",
        frames,
        config=CellsConfig(diameter=max(4.0, diameter)),
        weights=arguments.weights,
        device=arguments.device,
    )
    methods = {
        "watershed": lambda t: split_by_watershed(frames, t, diameter),
        "cells": lambda t: (
            detector.detect(t).instances(score=arguments.score, overlap=arguments.overlap).labels
        ),
    }
    figures: dict[str, Any] = {"frames": chosen, "diameter": diameter}
    for name, segment in methods.items():
        started = time.perf_counter()
        found = np.stack([segment(t) for t in chosen])
        seconds = (time.perf_counter() - started) / len(chosen)
        scores = evaluate_instances(found, truth, complete_frames=range(len(chosen)))
        figures[name] = {**scores.summary(), "seconds_per_frame": seconds}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", default=os.environ.get("NAPARI_VOS_REFERENCE"))
    parser.add_argument("--sequences", nargs="+", default=SEQUENCES, metavar="NAME")
    parser.add_argument("--frames", type=int, default=5, help="annotated frames per sequence")
    parser.add_argument("--weights", help="file; the shipped weights if not given")
    parser.add_argument("--score", type=float, default=0.3)
    parser.add_argument("--overlap", type=float, default=0.5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="JSON file; standard output if not given")
    args = parser.parse_args()
    if args.reference is None:
        parser.error("name the reference folder: --reference or NAPARI_VOS_REFERENCE")

    sequences = {}
    for name in args.sequences:
        found = sequences[name] = score(Path(args.reference) / "data" / name, args.frames, args)
        line = "   ".join(
            f"{method} AP50 {found[method]['AP50']:.3f} SEG {found[method]['SEG']:.3f}"
            for method in ("watershed", "cells")
        )
        print(f"{name:15} {line}", file=sys.stderr)
    mean = {
        method: {
            key: fmean(found[method][key] for found in sequences.values())
            for key in ("AP50", "AP", "recall", "SEG", "seconds_per_frame")
        }
        for method in ("watershed", "cells")
    }
    text = json.dumps({"weights": args.weights, "mean": mean, "sequences": sequences}, indent=1)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()

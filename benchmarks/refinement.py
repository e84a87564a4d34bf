"""What refinement gives back of the borders that a smaller scale has taken.

The truth of some frames is made coarse by 2, 4 and 8, enlarged again by bilinear
interpolation, and refined. A factor of 1 is the truth itself, which should stay
(it is refined as if it were coarse by 4). J and F are means over objects; the
outlines of F may lie one pixel apart. The last figures are milliseconds per
frame against the length of all borders, for growing numbers of the same disks.
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
from scipy import ndimage

from napari_vos import FrameStack, open_frames, open_labels, refine_labels
from napari_vos.configs import RefinementConfig
from napari_vos.metrics import find_annotation, region_similarity
from napari_vos.metrics.boundary import boundary_map, match_boundaries

SEQUENCES = (
    "sim_nuclei_01",
    "sim_nuclei_02",
    "hela_nuclei_01",
    "hela_nuclei_02",
    "psc_phase_01",
    "msc_cells_01",
    "dic_hela_01",
    "davis_camel",
    "davis_bmx-trees",
    "davis_car-shadow",
    "davis_dance-twirl",
)
FACTORS = (1, 2, 4, 8)
RADIUS = 1


def annotated_frames(folder: Path, count: int) -> list[int]:
    """Return up to `count` frames with masks of everything, spread over the movie."""
    labels = open_labels(folder / "labels.tif")
    annotation = find_annotation(folder / "labels.tif")
    frames = labels.non_empty_frames()
    if annotation is not None:
        frames = [t for t in frames if t in annotation.complete_frames]
    return [frames[i] for i in np.unique(np.linspace(0, len(frames) - 1, count).astype(int))]


def coarsen(labels: np.ndarray, factor: int) -> np.ndarray:
    """Return labels that were at a smaller scale: at each pixel the likeliest object."""
    ends = [(0, -side % factor) for side in labels.shape]
    padded = np.pad(labels, ends, mode="edge")
    rows, columns = (
        np.clip((np.arange(side) + 0.5) / factor - 0.5, 0, side / factor - 1)
        for side in padded.shape
    )
    places = np.meshgrid(rows, columns, indexing="ij")
    best = np.zeros(padded.shape)
    total = np.zeros(padded.shape)
    coarse = np.zeros_like(padded)
    for object_id in np.unique(padded[padded > 0]):
        cells = (padded == object_id).astype(float)
        cells = cells.reshape(cells.shape[0] // factor, factor, -1, factor).mean((1, 3))
        enlarged = ndimage.map_coordinates(cells, places, order=1, mode="nearest")
        total += enlarged
        coarse = np.where(enlarged > best, object_id, coarse)
        best = np.maximum(best, enlarged)
    coarse[best <= 1 - total] = 0
    return coarse[: labels.shape[0], : labels.shape[1]].astype(labels.dtype)


def compare(result: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return the mean J and F over the objects of a frame."""
    scores = []
    for object_id, window in enumerate(ndimage.find_objects(truth), start=1):
        if window is None:
            continue
        wide = tuple(slice(max(part.start - 20, 0), part.stop + 20) for part in window)
        masks = result[wide] == object_id, truth[wide] == object_id
        outlines = [boundary_map(mask) for mask in masks]
        scores.append((region_similarity(*masks), match_boundaries(*outlines, RADIUS)))
    j, f = np.mean(scores, axis=0)
    return {"J": float(j), "F": float(f)}


def score(folder: Path, frames: list[int], factor: int, options: dict[str, Any]) -> dict[str, Any]:
    """Return J and F of one sequence at one factor, before and after."""
    truth = [open_labels(folder / "labels.tif")[t] for t in frames]
    images = open_frames(folder / "images.tif")
    coarse = [coarsen(labels, factor) if factor > 1 else labels for labels in truth]
    labels = np.zeros((images.n_frames, *images.shape), np.uint16)
    labels[frames] = coarse
    config = RefinementConfig(factor=factor if factor > 1 else 4)
    refined = refine_labels(images, labels, config=config, **options)
    pairs = {
        "bilinear": [compare(c, t) for c, t in zip(coarse, truth, strict=True)],
        "refined": [compare(refined[t], true) for t, true in zip(frames, truth, strict=True)],
    }
    return {
        name: {key: fmean(figures[key] for figures in found) for key in ("J", "F")}
        for name, found in pairs.items()
    }


def time_against_length(options: dict[str, Any]) -> list[dict[str, float]]:
    """Return milliseconds per frame with more and more disks on one picture."""
    rows, columns = np.indices((48, 48)) - 23.5
    disk = np.hypot(rows, columns) < 18
    timed = []
    for count in (16, 64, 256):
        labels = np.zeros((768, 768), np.uint16)
        for number in range(count):
            top, left = 48 * (number // 16), 48 * (number % 16)
            labels[top : top + 48, left : left + 48][disk] = number + 1
        noise = np.random.default_rng(0).normal(0, 50, labels.shape)
        image = (300 + 1000 * (labels > 0) + noise).astype(np.float32)
        refined = refine_labels(FrameStack(np.stack([image] * 2)), [labels] * 2, **options)
        refined[0]
        started = time.perf_counter()
        refined[1]
        milliseconds = 1000 * (time.perf_counter() - started)
        length = count * int(np.count_nonzero(boundary_map(disk)))
        timed.append({"objects": count, "border_pixels": length, "ms": milliseconds})
    return timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", default=os.environ.get("NAPARI_VOS_REFERENCE"))
    parser.add_argument("--sequences", nargs="+", default=SEQUENCES, metavar="NAME")
    parser.add_argument("--frames", type=int, default=5, help="annotated frames per sequence")
    parser.add_argument("--weights", help="file; the shipped weights if not given")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="JSON file; standard output if not given")
    args = parser.parse_args()
    if args.reference is None:
        parser.error("name the reference folder: --reference or NAPARI_VOS_REFERENCE")

    options = {"weights": args.weights, "device": args.device}
    sequences: dict[str, Any] = {}
    for name in args.sequences:
        folder = Path(args.reference) / "data" / name
        frames = annotated_frames(folder, args.frames)
        sequences[name] = {}
        for factor in FACTORS:
            found = sequences[name][factor] = score(folder, frames, factor, options)
            line = "  ".join(f"{m} J {s['J']:.3f} F {s['F']:.3f}" for m, s in found.items())
            print(f"{name:18} x{factor}  {line}", file=sys.stderr)
    timed = time_against_length(options)
    report = {"weights": args.weights, "sequences": sequences, "time": timed}
    text = json.dumps(report, indent=1)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()

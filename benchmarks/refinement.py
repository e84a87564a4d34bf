"""What refinement gives back of the borders that a smaller scale has taken.

The truth of some frames is made coarse by 2, 4 and 8, enlarged again by bilinear
interpolation, and refined: as masks, which labels are, and as areas, which an
engine's probabilities may be and which alone tell a smooth border almost exactly.
A factor of 1 is the truth itself, which should stay (it is refined as if it were
coarse by 4). J and F are means over objects; the outlines of F may lie one pixel
apart.

Then objects that are larger than the compact engine's window: their truth at the
scale of the window, as an engine that makes no mistakes would tell it, and the engine
itself from one prompt, both without and with refinement. And MAST on simulated large frames at
full scale and, refined, at half and a quarter of it. These take turns, so that
their times can be compared. The last figures are milliseconds per frame against
the length of all borders, for growing numbers of the same disks.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from reporting import add_out, add_reference, write_report
from scipy import ndimage

from napari_vos import FrameStack, Session, open_frames, open_labels, refine_labels
from napari_vos.configs import CompactConfig, MastConfig, RefinementConfig
from napari_vos.engines.places import Place, crop, paste, region_of
from napari_vos.engines.refined import nearest_factor
from napari_vos.engines.refinement import MaskRefiner
from napari_vos.engines.windows import CONTEXT, WINDOW_SIZE
from napari_vos.metrics import find_annotation, region_similarity
from napari_vos.metrics.boundary import boundary_map, match_boundaries
from napari_vos.session.merge import labels_of
from napari_vos.simulation import Modality, Scenario, simulate
from napari_vos.store.evidence import FrameEvidence, ObjectEvidence, Source

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
LARGE = ("dic_hela_01", "msc_cells_01", "davis_camel")
"""Sequences with objects larger than their window."""

PARTS = ("coarse", "window", "compact", "mast", "time")
FACTORS = (1, 2, 4, 8)
KINDS = ("masks", "areas")
RADIUS = 1


def annotated_frames(folder: Path, count: int) -> list[int]:
    """Return up to `count` frames with masks of everything, spread over the movie."""
    labels = open_labels(folder / "labels.tif")
    annotation = find_annotation(folder / "labels.tif")
    frames = labels.non_empty_frames()
    if annotation is not None:
        frames = [t for t in frames if t in annotation.complete_frames]
    return [frames[i] for i in np.unique(np.linspace(0, len(frames) - 1, count).astype(int))]


def coarsen(labels: np.ndarray, factor: int, kind: str = "areas") -> np.ndarray:
    """Return labels that were at a smaller scale: at each pixel the likeliest object.

    Between scales they are either the areas that objects have of each cell, as an
    engine's probabilities, or masks, as labels are: a cell belongs to one object alone.
    """
    ends = [(0, -side % factor) for side in labels.shape]
    padded = np.pad(labels, ends, mode="edge")
    areas = {i: cell_areas(padded == i, factor) for i in np.unique(padded[padded > 0])}
    small = likeliest(areas)
    rows, columns = (
        np.clip((np.arange(side) + 0.5) / factor - 0.5, 0, side / factor - 1)
        for side in padded.shape
    )
    places = np.meshgrid(rows, columns, indexing="ij")
    enlarged = {
        i: ndimage.map_coordinates(
            area if kind == "areas" else (small == i).astype(float), places, order=1, mode="nearest"
        )
        for i, area in areas.items()
    }
    return likeliest(enlarged)[: labels.shape[0], : labels.shape[1]].astype(labels.dtype)


def cell_areas(mask: np.ndarray, factor: int) -> np.ndarray:
    """Return the share that a mask has of each cell."""
    return mask.reshape(mask.shape[0] // factor, factor, -1, factor).mean((1, 3))


def likeliest(shares: dict[int, np.ndarray]) -> np.ndarray:
    """Return the object with the largest share of each place, 0 where background has more."""
    ids, planes = np.array(list(shares)), np.stack(list(shares.values()))
    best = planes.max(axis=0)
    return np.where(best > 1 - planes.sum(axis=0), ids[planes.argmax(axis=0)], 0)


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


def score(
    folder: Path, frames: list[int], factor: int, options: dict[str, Any], kind: str = "areas"
) -> dict[str, Any]:
    """Return J and F of one sequence at one factor, before and after."""
    truth = [open_labels(folder / "labels.tif")[t] for t in frames]
    images = open_frames(folder / "images.tif")
    coarse = [coarsen(labels, factor, kind) if factor > 1 else labels for labels in truth]
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


def propagate(
    frames: FrameStack, prompt: np.ndarray, n_frames: int, **choice: Any
) -> tuple[list[np.ndarray], float]:
    """Return the labels of the frames after the first one, and the seconds it took."""
    with Session(frames, **choice) as session:
        session.add_mask(0, prompt)
        session.estimate()  # loads the engine
        started = time.perf_counter()
        for _ in session.propagate(frames=(0, n_frames - 1)):
            pass
        seconds = time.perf_counter() - started
        return [np.asarray(session.labels[t]) for t in range(1, n_frames)], seconds


def score_labels(labels: list[np.ndarray], truth: list[np.ndarray]) -> dict[str, float]:
    """Return the mean J and F over the frames on which the truth holds any object."""
    found = [compare(a, b) for a, b in zip(labels, truth, strict=True) if b.any()]
    return {key: fmean(scores[key] for scores in found) for key in ("J", "F")}


def keep(labels: np.ndarray, ids: list[int]) -> np.ndarray:
    """Return labels without other objects."""
    return np.where(np.isin(labels, ids), labels, 0).astype(np.uint16)


def larger_than_window(labels: np.ndarray) -> dict[int, int]:
    """Return the longest sides of the objects that refinement changes in the compact engine."""
    sides = {
        i: max(part.stop - part.start for part in window)
        for i, window in enumerate(ndimage.find_objects(labels), start=1)
        if window is not None
    }
    return {i: side for i, side in sides.items() if window_factor(side) > 1}


def window_factor(side: int) -> int:
    """Return from which scale refinement takes an object of the compact engine."""
    return nearest_factor(CONTEXT * side / WINDOW_SIZE)


def through_window(labels: np.ndarray, object_id: int, side: int) -> ObjectEvidence:
    """Return an object as the compact engine tells it if it makes no mistake."""
    mask = (labels == object_id).astype(np.float32)
    y, x = map(float, ndimage.center_of_mass(mask))
    place = Place(y, x, CONTEXT * side)
    region = region_of(place, mask.shape)
    window = crop(mask[None, *region.slices], region, place, outside="zeros")
    box, probability = paste(window, place, mask.shape)
    return ObjectEvidence(object_id, box, probability, 1.0, Source.PROPAGATED)


def truth_in_windows(folder: Path, frames: list[int], options: dict[str, Any]) -> dict[str, Any]:
    """Return J and F of the truth of large objects at the scale of their windows."""
    refiner = MaskRefiner.create(open_frames(folder / "images.tif"), **options)
    pairs: dict[str, list[dict[str, float]]] = {"bilinear": [], "refined": []}
    for t in frames:
        truth = open_labels(folder / "labels.tif")[t]
        sides = larger_than_window(truth)
        if not sides:
            continue
        told = FrameEvidence(t, {i: through_window(truth, i, side) for i, side in sides.items()})
        factors = {i: window_factor(side) for i, side in sides.items()}
        for name, evidence in (
            ("bilinear", told),
            ("refined", refiner.refine(t, told, factors=factors)),
        ):
            labels = labels_of(evidence.objects.values(), truth.shape)
            pairs[name].append(compare(labels, keep(truth, list(factors))))
    return {
        name: {key: fmean(scores[key] for scores in found) for key in ("J", "F")}
        for name, found in pairs.items()
    }


def compact_on_large(folder: Path, n_frames: int, device: str) -> dict[str, Any]:
    """Return J, F and seconds of the compact engine on objects larger than their window."""
    truth = open_labels(folder / "labels.tif")
    frames = open_frames(folder / "images.tif")
    large = list(larger_than_window(truth[0]))
    wanted = [keep(truth[t], large) for t in range(1, n_frames)]
    result: dict[str, Any] = {"objects": len(large)}
    for name, refine in (("bilinear", "no"), ("refined", "full")):
        config = CompactConfig(refine=refine)
        labels, seconds = propagate(
            frames, keep(truth[0], large), n_frames, config=config, device=device
        )
        result[name] = {**score_labels(labels, wanted), "seconds": seconds}
    result["time"] = result["refined"]["seconds"] / result["bilinear"]["seconds"]
    return result


def mast_at_scales(side: int, n_frames: int, weights: str | None, device: str) -> dict[str, Any]:
    """Return J, F and seconds of MAST on simulated frames, at full scale and refined from less."""
    scenario = Scenario(
        Modality.FLUORESCENCE,
        shape=(side, side),
        n_frames=n_frames,
        n_cells=max(4, (side // 100) ** 2),
        diameter=64.0,
        division_rate=0.0,
    )
    movie = simulate(scenario, seed=0)
    ids = np.unique(movie.labels[0])[1:].tolist()
    wanted = [keep(frame, ids) for frame in movie.labels[1:]]
    result: dict[str, Any] = {"side": side, "objects": len(ids)}
    for refine in ("no", "full", "half", "quarter"):
        labels, seconds = propagate(
            FrameStack(movie.images, axes="TYX"),
            movie.labels[0],
            n_frames,
            engine="mast",
            config=MastConfig(refine=refine),
            weights=weights,
            device=device,
        )
        scores = score_labels(labels, wanted)
        result[refine] = {**scores, "seconds_per_frame": seconds / (n_frames - 1)}
    return result


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
    add_reference(parser)
    parser.add_argument("--sequences", nargs="+", default=SEQUENCES, metavar="NAME")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--frames", type=int, default=5, help="annotated frames per sequence")
    parser.add_argument("--length", type=int, default=15, help="frames to propagate")
    parser.add_argument("--side", type=int, default=2048, help="of the frames for MAST")
    parser.add_argument("--mast-length", type=int, default=4, help="frames for MAST")
    parser.add_argument("--mast-weights", help="file; the shipped weights if not given")
    parser.add_argument("--weights", help="file; the shipped weights if not given")
    parser.add_argument("--device", default="auto")
    add_out(parser)
    args = parser.parse_args()
    if args.reference is None:
        parser.error("name the reference folder: --reference or NAPARI_VOS_REFERENCE")

    data = Path(args.reference) / "data"
    options = {"weights": args.weights, "device": args.device}
    report: dict[str, Any] = {"weights": args.weights}
    if "coarse" in args.parts:
        report["coarse"] = {}
        for name in args.sequences:
            frames = annotated_frames(data / name, args.frames)
            found = report["coarse"][name] = {}
            for kind, factor in itertools.product(KINDS, FACTORS):
                scores = score(data / name, frames, factor, options, kind)
                found.setdefault(kind, {})[factor] = scores
                tell(f"{name:18} {kind} x{factor}", scores)
    if "window" in args.parts:
        report["window"] = {}
        for name in (each for each in args.sequences if each in LARGE):
            frames = annotated_frames(data / name, args.frames)
            found = report["window"][name] = truth_in_windows(data / name, frames, options)
            tell(f"{name:18} truth in windows", found)
    if "compact" in args.parts:
        report["compact"] = {}
        for name in (each for each in args.sequences if each in LARGE):
            found = compact_on_large(data / name, args.length, args.device)
            report["compact"][name] = found
            tell(f"{name:18} compact, time x {found['time']:.2f}", found)
    if "mast" in args.parts:
        found = mast_at_scales(args.side, args.mast_length, args.mast_weights, args.device)
        report["mast"] = found
        tell(f"MAST {args.side}", found)
    if "time" in args.parts:
        report["time"] = time_against_length(options)
    write_report(report, args.out)


def tell(what: str, found: dict[str, Any]) -> None:
    scores = {method: figures for method, figures in found.items() if isinstance(figures, dict)}
    line = "  ".join(f"{method} J {s['J']:.3f} F {s['F']:.3f}" for method, s in scores.items())
    print(f"{what}  {line}", file=sys.stderr)


if __name__ == "__main__":
    main()

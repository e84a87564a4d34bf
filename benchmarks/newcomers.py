"""What newcomers add: how many of all cells on all frames are followed, with and without.

Each sequence is prompted with the truth of frame 0 and propagated; then a detector looks at every
n-th frame for cells that nobody follows, and they are propagated both ways. A true cell on a
frame is covered if something overlaps it (IoU) by more than 0.5, whatever its id; precision is the
share of what was found that covers one. Both count on completely annotated frames, without the
prompted one. Where precision is below 0.8 the least certain masks are left out until it isn't:
`covered` is what is left then. `late` counts only cells that aren't on frame 0: those that enter,
and daughters.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from reporting import add_out, add_reference, write_report

from napari_vos import Session, open_frames, open_labels
from napari_vos.metrics import find_annotation
from napari_vos.metrics.instances import find_overlaps

SEQUENCES = ("hela_nuclei_01", "hela_nuclei_02", "psc_phase_01")
PRECISION = 0.8
COVERED = 0.5


def count(session: Session, truth: Any, frames: list[int]) -> dict[str, float]:
    """Return coverage and precision of a session on completely annotated frames."""
    old = set(np.unique(truth[0]).tolist())
    confidence = session.confidence
    found: list[tuple[float, bool, bool]] = []
    n_true = n_late = 0
    for t in frames:
        labels, theirs = np.asarray(session.labels[t]), truth[t]
        ids = [int(i) for i in np.unique(theirs) if i]
        late = {i for i in ids if i not in old}
        n_true, n_late = n_true + len(ids), n_late + len(late)
        pairs = find_overlaps(labels, theirs)
        covers = {
            int(ours): int(true)
            for ours, true, iou in zip(pairs.first, pairs.second, pairs.iou, strict=True)
            if iou > COVERED
        }
        for i in np.unique(labels[labels > 0]).tolist():
            found.append((confidence.get((t, i), 0.0), i in covers, covers.get(i) in late))
    found.sort(key=lambda each: -each[0])
    hits = np.cumsum([hit for _, hit, _ in found])
    late_hits = np.cumsum([late for _, _, late in found])
    precise = np.flatnonzero(hits >= PRECISION * np.arange(1, len(found) + 1))
    kept = int(precise[-1]) if precise.size else None
    return {
        "covered": 0.0 if kept is None else float(hits[kept] / n_true),
        "late": 0.0 if kept is None or not n_late else float(late_hits[kept] / n_late),
        "covered_by_all": float(hits[-1] / n_true) if found else 0.0,
        "precision_of_all": float(hits[-1] / len(found)) if found else 1.0,
        "n_object_frames": n_true,
        "n_late_object_frames": n_late,
    }


def score(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one sequence, without newcomers and with them."""
    images, truth = open_frames(folder / "images.tif"), open_labels(folder / "labels.tif")
    annotation = find_annotation(folder / "labels.tif")
    last = min(arguments.frames or images.n_frames, images.n_frames) - 1
    frames = [t for t in sorted(annotation.complete_frames) if 0 < t <= last] if annotation else []
    figures: dict[str, Any] = {"n_frames": last + 1, "frames": frames}
    with Session(images, weights=arguments.weights, device=arguments.device) as session:
        session.choose_detector(
            "cells", weights=arguments.detector_weights, device=arguments.device
        )
        session.add_mask(0, truth[0])
        follow = session.follow_newcomers(
            every=arguments.every, frames=(0, last), score=arguments.score
        )
        for name, steps in (("without", session.propagate(frames=(0, last))), ("with", follow)):
            started = time.perf_counter()
            drain(steps, f"{folder.name} {name}")
            seconds = time.perf_counter() - started
            figures[name] = {**count(session, truth, frames), "seconds": seconds}
        figures["n_newcomers"] = len(session.newcomers)
        figures["n_proposed_parents"] = len(session.propose_parents())
        if arguments.labels:
            arguments.labels.mkdir(parents=True, exist_ok=True)
            session.export_labels(arguments.labels / f"{folder.name}-newcomers.tif")
    return figures


def drain(steps: Iterator[Any], name: str) -> None:
    for step in steps:
        print(f"\r{name}: {step.n_done} of {step.n_total} ", end="", file=sys.stderr, flush=True)
    print("\r", end="", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_reference(parser)
    parser.add_argument("--sequences", nargs="+", default=SEQUENCES, metavar="NAME")
    parser.add_argument("--frames", type=int, help="the first so many; all if not given")
    parser.add_argument("--every", type=int, default=5, help="look on every so many frames")
    parser.add_argument("--score", type=float, default=0.4)
    parser.add_argument("--weights", help="of the engine; the shipped ones if not given")
    parser.add_argument("--detector-weights", help="file; the shipped weights if not given")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--labels", type=Path, help="folder in which to write the labels")
    add_out(parser)
    args = parser.parse_args()
    if args.reference is None:
        parser.error("name the reference folder: --reference or NAPARI_VOS_REFERENCE")

    sequences = {}
    for name in args.sequences:
        found = sequences[name] = score(Path(args.reference) / "data" / name, args)
        line = "   ".join(
            f"{how} covered {found[how]['covered']:.3f} late {found[how]['late']:.3f} "
            f"(all {found[how]['covered_by_all']:.3f}, precision "
            f"{found[how]['precision_of_all']:.3f})"
            for how in ("without", "with")
        )
        print(f"{name:15} {line}", file=sys.stderr)
    mean = {
        how: {
            key: fmean(found[how][key] for found in sequences.values())
            for key in ("covered", "late", "covered_by_all", "precision_of_all", "seconds")
        }
        for how in ("without", "with")
    }
    report = {"every": args.every, "score": args.score, "mean": mean, "sequences": sequences}
    write_report(report, args.out)


if __name__ == "__main__":
    main()

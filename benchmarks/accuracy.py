"""Accuracy from one annotated frame on the reference sequences.

Each sequence is prompted with the truth of frame 0 and propagated to frame 29.
Scores are those of `napari_vos.metrics.evaluate`.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from baselines import BASELINES
from reporting import add_out, add_reference, write_report

from napari_vos import Session, open_frames, open_labels
from napari_vos.metrics import evaluate, find_annotation

SEQUENCES = (
    "hela_nuclei_01",
    "hela_nuclei_02",
    "psc_phase_01",
    "sim_nuclei_01",
    "sim_nuclei_02",
    "msc_cells_01",
    "dic_hela_01",
)
N_FRAMES = 30


@dataclass(frozen=True)
class Run:
    """Labels (T, Y, X) with what they cost."""

    labels: np.ndarray
    seconds: float
    object_frames: int


def run_baseline(method: str, folder: Path, cache: Path | None) -> Run:
    frames = open_frames(folder / "images.tif")
    prompt = open_labels(folder / "labels.tif")[0]
    object_frames = (np.unique(prompt).size - 1) * (N_FRAMES - 1)
    kept = cache / f"{folder.name}-{method}.npz" if cache else None
    if kept and kept.exists():
        with np.load(kept) as file:
            return Run(file["labels"], float(file["seconds"]), object_frames)
    started = time.perf_counter()
    labels = BASELINES[method](frames, prompt, N_FRAMES)
    seconds = time.perf_counter() - started
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(kept, labels=labels, seconds=seconds)
    return Run(labels, seconds, object_frames)


def run_engine(method: str, folder: Path, options: dict[str, Any]) -> Run:
    frames = open_frames(folder / "images.tif")
    with Session(frames, engine=method, **options) as session:
        session.add_mask(0, open_labels(folder / "labels.tif")[0])
        object_frames = 0
        started = time.perf_counter()
        with closing(session.propagate(frames=(0, N_FRAMES - 1))) as results:
            for result in results:
                object_frames += len(result.object_ids)
        seconds = time.perf_counter() - started
        return Run(np.asarray(session.labels[:]), seconds, object_frames)


def score(run: Run, folder: Path) -> dict[str, Any]:
    truth = open_labels(folder / "labels.tif")
    annotation = find_annotation(folder / "labels.tif")
    scores = evaluate(
        run.labels,
        truth,
        prompts={0: truth[0]},
        frames=range(N_FRAMES),
        complete_frames=annotation.complete_frames if annotation else None,
    )
    summary = scores.summary()
    summary["frames"] = {str(t): score.j for t, score in scores.by_frame.items()}
    return {
        **summary,
        "seconds": run.seconds,
        "ms_per_object_frame": 1000 * run.seconds / max(run.object_frames, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_reference(parser)
    parser.add_argument(
        "--method",
        "--engine",
        default="compact",
        help=f"an engine, or one of {', '.join(BASELINES)}",
    )
    parser.add_argument("--sequences", nargs="+", default=SEQUENCES, metavar="NAME")
    parser.add_argument("--weights", help="weights file; the shipped ones if not given")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--cache", type=Path, help="folder in which baselines are kept")
    parser.add_argument("--labels", type=Path, help="folder in which to write the labels")
    add_out(parser)
    args = parser.parse_args()
    if args.reference is None:
        parser.error("name the reference folder: --reference or NAPARI_VOS_REFERENCE")

    options = {"weights": args.weights, "device": args.device, "precision": args.precision}
    sequences = {}
    for name in args.sequences:
        folder = Path(args.reference) / "data" / name
        if args.method in BASELINES:
            run = run_baseline(args.method, folder, args.cache)
        else:
            run = run_engine(args.method, folder, options)
        if args.labels:
            args.labels.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(args.labels / f"{name}-{args.method}.npz", labels=run.labels)
        figures = sequences[name] = score(run, folder)
        print(
            f"{name:15} J {figures['J']:.3f}  F {figures['F']:.3f}  J&F {figures['J&F']:.3f}  "
            f"ghosts {figures['ghosts']:.3f}  {figures['ms_per_object_frame']:.1f} ms",
            file=sys.stderr,
        )
    keys = ("J", "F", "J&F", "ghosts", "seconds", "ms_per_object_frame")
    mean = {key: fmean(figures[key] for figures in sequences.values()) for key in keys}
    print("mean            " + "  ".join(f"{k} {v:.3f}" for k, v in mean.items()), file=sys.stderr)
    report = {"method": args.method, "weights": args.weights, "mean": mean, "sequences": sequences}
    write_report(report, args.out)


if __name__ == "__main__":
    main()

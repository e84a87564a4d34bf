"""How well the confidence of masks tells how good they are.

Each sequence is prompted with the truth of frame 0 and propagated to frame 29. The
confidence of every object on every frame is compared with its J, beside other signs of
doubt that a session could take: the rank correlation (Spearman) of each, and the
reliability of the confidence, in ten bins. Nothing of this is fitted to the sequences.

With --both the truth of frame 29 is a prompt as well: what lies between two user frames
is judged, where a pass has come from either side.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from accuracy import N_FRAMES, SEQUENCES
from reporting import add_out, add_reference, write_report
from scipy import ndimage
from scipy.stats import spearmanr

from napari_vos import Session, open_frames, open_labels
from napari_vos.metrics import evaluate
from napari_vos.store.evidence import Box, expected_jaccard

N_BINS = 10
SIGNS = ("confidence", "sharpness", "steadiness", "nearness", "agreement", "both")
"""See `signs_of`; the last two if passes have come from either side."""

Passes = tuple[np.ndarray, np.ndarray]
"""(T, Y, X) labels of the pass forward from the first frame, and backward from the last."""


def jaccard(one: np.ndarray, other: np.ndarray) -> float:
    """Return J of two masks; 0 if there is neither."""
    return float(np.count_nonzero(one & other) / max(1, np.count_nonzero(one | other)))


def steadiness(mask: np.ndarray, before: np.ndarray) -> float:
    """Return J of a mask with the one of the frame before, laid on each other's centre."""
    if not mask.any() or not before.any():
        return 0.0
    shift = np.subtract(ndimage.center_of_mass(mask), ndimage.center_of_mass(before))
    moved = np.zeros_like(before)
    rows, columns = (np.argwhere(before) + np.rint(shift).astype(int)).T
    height, width = before.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    moved[rows[inside], columns[inside]] = True
    return jaccard(mask, moved)


def signs_of(
    session: Session, object_id: int, n_frames: int, passes: Passes | None
) -> dict[int, dict[str, float]]:
    """Return by frame how sure one may be of an object; larger is surer.

    confidence: what the session says. sharpness: `expected_jaccard` of its probabilities.
    steadiness: how little the mask has changed. nearness: how near the prompt is; what
    any sign has to beat. agreement: J of both passes. both: its product with confidence.
    """
    found: dict[int, dict[str, float]] = {}
    confidence = session.confidence
    before = session.labels[0] == object_id
    everything = Box(0, 0, *session.frames.shape)
    for t in range(1, n_frames):
        mask = session.labels[t] == object_id
        probability = session.probability(t, object_id, everything)[0]
        found[t] = {
            "confidence": confidence.get((t, object_id), 0.0),
            "sharpness": expected_jaccard(probability),
            "steadiness": steadiness(mask, before),
            "nearness": 1 - (t if passes is None else min(t, n_frames - 1 - t)) / n_frames,
        }
        if passes is not None:
            agreement = jaccard(*(labels[t] == object_id for labels in passes))
            found[t] |= {"agreement": agreement, "both": agreement * found[t]["confidence"]}
        before = mask
    return found


def propagate(session: Session, n_frames: int) -> np.ndarray:
    """Propagate what is pending on the first frames, and return their labels."""
    with closing(session.propagate(frames=(0, n_frames - 1))) as results:
        for _ in results:
            pass
    return np.asarray(session.labels[:n_frames])


def measure(
    folder: Path, n_frames: int, options: dict[str, Any], *, both: bool
) -> list[dict[str, float]]:
    """Return the signs and the true J of every object on every frame."""
    truth = open_labels(folder / "labels.tif")
    prompts, passes = {0: truth[0]}, None
    frames = open_frames(folder / "images.tif")
    with Session(frames, **options) as session:
        session.add_mask(0, truth[0])
        forward = propagate(session, n_frames)
        if both:
            last = max(t for t in range(n_frames) if truth[t].any())
            prompts[last] = np.where(np.isin(truth[last], truth[0]), truth[last], 0)
            with Session(frames, **options) as other:
                other.add_mask(last, prompts[last])
                passes = forward, propagate(other, n_frames)
            session.add_mask(last, prompts[last])
            propagate(session, n_frames)
        scores = evaluate(session.labels, truth, prompts=prompts, frames=range(n_frames))
        signs = {i: signs_of(session, i, n_frames, passes) for i in session.object_ids}
        # What has ended is in no doubt: nobody is sent there.
        held = session.confidence
    said = set.intersection(*(set(np.unique(labels)) for labels in prompts.values()))
    return [
        {**signs[pair.object_id][pair.t], "J": pair.j}
        for pair in scores.pairs
        if (pair.t, pair.object_id) in held and pair.object_id in said
    ]


def correlations(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return the rank correlation of each sign with J."""
    return {
        sign: correlation([row[sign] for row in rows], [row["J"] for row in rows])
        for sign in SIGNS
        if sign in rows[0]
    }


def correlation(sign: list[float], j: list[float]) -> float:
    """Return Spearman's rank correlation; 0 if one of both never changes."""
    if len(set(sign)) < 2 or len(set(j)) < 2:
        return 0.0
    return float(spearmanr(sign, j).statistic)


def reliability(confidence: np.ndarray, j: np.ndarray) -> dict[str, Any]:
    """Return mean confidence and mean J by bins of confidence, and how far they are apart.

    The gap is the mean of the bins' differences, by how many masks are in them.
    """
    bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    curve = [
        {
            "confidence": float(confidence[bins == b].mean()),
            "J": float(j[bins == b].mean()),
            "n": int((bins == b).sum()),
        }
        for b in np.unique(bins)
    ]
    gap = sum(each["n"] * abs(each["confidence"] - each["J"]) for each in curve) / len(confidence)
    return {"gap": gap, "curve": curve}


def report_on(rows: list[dict[str, float]]) -> dict[str, Any]:
    return {
        "n": len(rows),
        "correlation": correlations(rows),
        "reliability": reliability(
            np.array([row["confidence"] for row in rows]), np.array([row["J"] for row in rows])
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_reference(parser)
    parser.add_argument("--sequences", nargs="+", default=SEQUENCES, metavar="NAME")
    parser.add_argument("--frames", type=int, default=N_FRAMES)
    parser.add_argument("--both", action="store_true", help="prompt the last frame as well")
    parser.add_argument("--engine", default="compact")
    parser.add_argument("--weights", help="weights file; the shipped ones if not given")
    parser.add_argument("--device", default="auto")
    add_out(parser)
    args = parser.parse_args()
    if args.reference is None:
        parser.error("name the reference folder: --reference or NAPARI_VOS_REFERENCE")
    options = {"engine": args.engine, "weights": args.weights, "device": args.device}
    sequences, everything = {}, []
    for name in args.sequences:
        rows = measure(Path(args.reference) / "data" / name, args.frames, options, both=args.both)
        everything += rows
        sequences[name] = report_on(rows)
        told = "  ".join(f"{k} {v:.2f}" for k, v in sequences[name]["correlation"].items())
        print(f"{name:15} {told}", file=sys.stderr, flush=True)
    mean = {
        sign: fmean(figures["correlation"][sign] for figures in sequences.values())
        for sign in SIGNS
        if all(sign in figures["correlation"] for figures in sequences.values())
    }
    print("mean            " + "  ".join(f"{k} {v:.2f}" for k, v in mean.items()), file=sys.stderr)
    report = {
        "engine": args.engine,
        "weights": args.weights,
        "both": args.both,
        "mean_correlation": mean,
        "all": report_on(everything),
        "sequences": sequences,
    }
    write_report(report, args.out)


if __name__ == "__main__":
    main()

"""Fusion between two annotated frames, by the compact engine.

Each sequence is prompted with the truth of frame 0 and propagated, then with
that of frame 29 and propagated back. Scores are those of the frames between,
with every form of fusion.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import fmean

import numpy as np
from accuracy import N_FRAMES, SEQUENCES
from reporting import add_out, add_reference, write_report

from napari_vos import Session, open_frames, open_labels
from napari_vos.configs import CompactConfig
from napari_vos.metrics import evaluate

FORMS = ("none", "linear", "learned")
LAST = N_FRAMES - 1


def jaccard_between(folder: Path, form: str) -> float:
    truth = open_labels(folder / "labels.tif")
    prompts = {0: truth[0], LAST: truth[LAST]}
    with Session(open_frames(folder / "images.tif"), config=CompactConfig(fusion=form)) as session:
        for t, labels in prompts.items():
            session.add_mask(t, labels)
            for _ in session.propagate(frames=(0, LAST)):
                pass
        result = np.asarray(session.labels[:])
    return evaluate(result, truth, prompts=prompts, frames=range(N_FRAMES)).summary()["J"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_reference(parser)
    parser.add_argument("--sequences", nargs="+", default=SEQUENCES, metavar="NAME")
    add_out(parser)
    args = parser.parse_args()
    if args.reference is None:
        parser.error("name the reference folder: --reference or NAPARI_VOS_REFERENCE")
    sequences = {}
    for name in args.sequences:
        folder = Path(args.reference) / "data" / name
        figures = sequences[name] = {form: jaccard_between(folder, form) for form in FORMS}
        told = "  ".join(f"{form} {j:.4f}" for form, j in figures.items())
        print(f"{name:15} {told}", file=sys.stderr, flush=True)
    mean = {form: fmean(figures[form] for figures in sequences.values()) for form in FORMS}
    write_report({"mean": mean, "sequences": sequences}, args.out)


if __name__ == "__main__":
    main()

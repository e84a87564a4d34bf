"""What adapting to a sequence brings: J before and after, and the minutes it took.

Each sequence is prompted with the truth of frame 0 and propagated to frame 29, first with
the weights there are, then with those adapted to it. No other label is seen.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from accuracy import N_FRAMES, SEQUENCES, Run, score
from reporting import add_out, add_reference, write_report

from napari_vos import Session, open_frames, open_labels


def measure(folder: Path, minutes: float, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    frames = open_frames(folder / "images.tif")
    with Session(frames, **options) as session:
        session.add_mask(0, open_labels(folder / "labels.tif")[0])
        before = score(propagate(session), folder)
        wall, cpu = time.perf_counter(), time.process_time()
        losses = []
        with closing(session.adapt(minutes=minutes, seed=seed)) as steps:
            for step in steps:
                if step.loss is not None:
                    losses.append((step.step, step.loss))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        outcome = session.adapted
        after = score(propagate(session), folder) if outcome.weights else before
    return {
        "before": {key: before[key] for key in ("J", "F", "ghosts")},
        "after": {key: after[key] for key in ("J", "F", "ghosts")},
        "gain": after["J"] - before["J"],
        "wall_minutes": wall / 60,
        "cpu_minutes": cpu / 60,
        "steps": outcome.steps,
        "diverged": outcome.diverged,
        "kept": outcome.weights is not None,
        "comparison": outcome.comparison and outcome.comparison._asdict(),
        "losses": losses,
    }


def propagate(session: Session) -> Run:
    object_frames, started = 0, time.perf_counter()
    with closing(session.propagate(frames=(0, N_FRAMES - 1))) as results:
        for result in results:
            object_frames += len(result.object_ids)
    return Run(np.asarray(session.labels[:]), time.perf_counter() - started, object_frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_reference(parser)
    parser.add_argument("--engine", default="compact", help="compact or mast")
    parser.add_argument("--sequences", nargs="+", default=SEQUENCES, metavar="NAME")
    parser.add_argument("--weights", help="weights file; the shipped ones if not given")
    parser.add_argument("--minutes", type=float, default=5.0, help="of adapting, per sequence")
    parser.add_argument("--seed", type=int, default=0)
    add_out(parser)
    args = parser.parse_args()
    if args.reference is None:
        parser.error("name the reference folder: --reference or NAPARI_VOS_REFERENCE")

    options = {"engine": args.engine, "weights": args.weights}
    sequences = {}
    for name in args.sequences:
        folder = Path(args.reference) / "data" / name
        figures = sequences[name] = measure(folder, args.minutes, args.seed, options)
        print(
            f"{name:15} J {figures['before']['J']:.3f} -> {figures['after']['J']:.3f}  "
            f"({figures['gain']:+.3f})  ghosts {figures['before']['ghosts']:.3f} -> "
            f"{figures['after']['ghosts']:.3f}  {figures['steps']} steps in "
            f"{figures['wall_minutes']:.1f} min, {figures['cpu_minutes']:.1f} of CPU, "
            f"{'kept' if figures['kept'] else 'not kept'}: {figures['comparison']}",
            file=sys.stderr,
        )
    gains = [figures["gain"] for figures in sequences.values()]
    summary = {
        "mean_gain": fmean(gains),
        "lowest_gain": min(gains),
        "n_gained": sum(gain > 0 for gain in gains),
    }
    print("  ".join(f"{key} {value:.3g}" for key, value in summary.items()), file=sys.stderr)
    asked = {name: str(v) if isinstance(v, Path) else v for name, v in vars(args).items()}
    write_report({**asked, "summary": summary, "sequences": sequences}, args.out)


if __name__ == "__main__":
    main()

"""Rounds of marks and propagation by a robot that knows the truth.

In the first round every object of frame 0 is marked; in each later one a frame is chosen,
and there at most one mark is made on each of the five worst objects. Where `next_frame` sends
to a frame on which nothing is to be mended, its objects are accepted, as a user would, and the
next one is asked for; which these were is in the report. Scores are those of
`napari_vos.metrics.evaluate` on all frames but frame 0, after each round.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from accuracy import N_FRAMES, SEQUENCES
from reporting import add_out, add_reference, write_report
from robot import GOOD, KINDS, corrections, first_marks

from napari_vos import Session, open_frames, open_labels
from napari_vos.errors import PromptError
from napari_vos.metrics import Scores, evaluate

CHOICES = ("worst", "next", "even", "random")
"""Who says which frame is corrected: the robot, `Session.next_frame`, or nobody."""

MOST_MARKS = 5


@dataclass(frozen=True)
class Case:
    """A sequence, and how the robot works on it."""

    name: str
    truth: np.ndarray
    n_frames: int
    n_rounds: int
    kind: str

    @property
    def object_ids(self) -> list[int]:
        """The objects of frame 0."""
        return [int(i) for i in np.unique(self.truth[0]) if i]

    @property
    def frames(self) -> list[int]:
        """The frames on which the truth holds any of them, without frame 0."""
        wanted = self.object_ids
        return [t for t in range(1, self.n_frames) if np.isin(self.truth[t], wanted).any()]


@dataclass(frozen=True)
class Kept:
    """Runs that were done, each in a file, so that a benchmark that was stopped goes on.

    Attributes
    ----------
    folder
        Where they are; None to keep nothing.
    options
        How they were done; what was done otherwise isn't taken.
    """

    folder: Path | None
    options: dict[str, Any]

    def read(self, name: str) -> Any:
        """Return what was kept under a name; None if nothing was."""
        path = self._path(name)
        if path is None or not path.exists():
            return None
        kept = json.loads(path.read_text(encoding="utf-8"))
        return kept["figures"] if kept["options"] == self.options else None

    def write(self, name: str, figures: Any) -> None:
        """Keep figures under a name."""
        path = self._path(name)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_report({"options": self.options, "figures": figures}, path)

    def _path(self, name: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{name}.json"


def play(case: Case, session: Session, choice: str, seed: int, first: dict[str, Any]) -> list[dict]:
    """Do all rounds but the first, and return the figures of all."""
    rng = np.random.default_rng(seed)
    rounds = [first]
    for number in range(1, case.n_rounds):
        labels = np.asarray(session.labels[:])
        scores = score(case, labels)
        t, accepted = choose(case, session, scores, choice, number, rng)
        ids = to_mend(scores, t)
        started = time.perf_counter()
        if case.kind == "mask":
            refused = 0
            if ids:
                session.add_mask(t, np.where(np.isin(case.truth[t], ids), case.truth[t], 0))
        else:
            refused = draw(session, corrections(case.kind, t, labels[t], case.truth[t], ids))
        prompt_seconds = time.perf_counter() - started
        figures = propagate_and_score(case, session, started)
        untouched = [i for i in case.object_ids if i not in ids]
        after = np.asarray(session.labels[:])
        kept = np.isin(labels, untouched) | np.isin(after, untouched)
        differs = kept & (labels != after)
        differs[t] = False  # where strokes of others may lie
        figures |= {"frame": t, "accepted": accepted, "object_ids": ids, "refused": refused}
        figures["prompt_seconds"] = prompt_seconds
        figures["untouched_pixels_changed"] = int(differs.sum())
        rounds.append(figures)
        told = f"{case.name:15} {choice:6} round {number + 1}  frame {t:2}"
        print(f"{told}  J {figures['J']:.3f}  {figures['seconds']:.1f} s", file=sys.stderr)
    return rounds


def first_round(case: Case, session: Session) -> dict[str, Any]:
    """Mark every object of frame 0, and propagate unless that is all."""
    started = time.perf_counter()
    truth = case.truth[0]
    if case.kind == "mask":
        session.add_mask(0, truth)
        refused = 0
    else:
        refused = draw(session, first_marks(case.kind, 0, truth, case.object_ids))
    marked = {
        "prompt_J": evaluate(session.labels, case.truth, frames=range(1)).j,
        "prompt_seconds": time.perf_counter() - started,
        "refused": refused,
    }
    print(f"{case.name:15} prompt J {marked['prompt_J']:.3f}", file=sys.stderr)
    if not case.n_rounds:
        return marked
    figures = marked | propagate_and_score(case, session, started)
    print(f"{case.name:15} J {figures['J']:.3f}  {figures['seconds']:.1f} s", file=sys.stderr)
    return {**figures, "frame": 0, "accepted": [], "object_ids": case.object_ids}


def draw(session: Session, marks: list[Any]) -> int:
    """Draw marks in one step; return how many were refused, the others drawn one by one."""
    if not marks:
        return 0
    try:
        session.draw(marks)
    except PromptError:
        return 1 if len(marks) == 1 else sum(draw(session, [mark]) for mark in marks)
    return 0


def propagate_and_score(case: Case, session: Session, started: float) -> dict[str, Any]:
    with closing(session.propagate(frames=(0, case.n_frames - 1))) as results:
        for _ in results:
            pass
    done = time.perf_counter()
    scores = score(case, np.asarray(session.labels[:]))
    return {
        "J": scores.j,
        "F": scores.f,
        "J&F": scores.jf,
        "seconds": done - started,
    }


def score(case: Case, labels: np.ndarray) -> Scores:
    prompts = {0: case.truth[0]}
    return evaluate(labels, case.truth, prompts=prompts, frames=range(case.n_frames))


def choose(
    case: Case, session: Session, scores: Scores, choice: str, number: int, rng: np.random.Generator
) -> tuple[int, list[int]]:
    """Return the frame to correct in a round, of those on which the truth is known.

    With it come the frames that were accepted on the way to it.
    """
    if choice == "worst":
        return min(scores.by_frame, key=lambda t: scores.by_frame[t].j), []
    if choice == "random":
        return int(rng.choice(case.frames)), []
    accepted: list[int] = []
    if choice == "next":
        found, accepted = next_to_mend(case, session, scores)
        if found is not None:
            return found, accepted
    even = (case.n_frames - 1) * number / (case.n_rounds - 1)
    return min(case.frames, key=lambda t: abs(t - even)), accepted


def next_to_mend(case: Case, session: Session, scores: Scores) -> tuple[int | None, list[int]]:
    """Return where the session sends the user, and where it did before, which has been accepted."""
    unknown, right = set(range(session.frames.n_frames)) - set(case.frames), []
    while (t := session.next_frame(skip=unknown.union(right))) is not None:
        if to_mend(scores, t):
            break
        there = {pair.object_id for pair in scores.pairs if pair.t == t}
        session.accept(t, there.intersection(session.object_ids))
        right.append(t)
    return t, right


def to_mend(scores: Scores, t: int) -> list[int]:
    """Return the objects to mark on a frame."""
    worst = sorted((pair.j, pair.object_id) for pair in scores.pairs if pair.t == t)
    return [i for j, i in worst[:MOST_MARKS] if j < GOOD]


def area(rounds: list[dict[str, Any]], key: str = "J&F") -> float:
    """Return the area under the curve of J&F over rounds, as a mean height."""
    values = [figures[key] for figures in rounds]
    return float(np.trapezoid(values) / (len(values) - 1)) if len(values) > 1 else values[0]


def run_sequence(
    folder: Path, args: argparse.Namespace, scratch: Path, kept: Kept
) -> dict[str, Any]:
    """Return the figures of a sequence by way to choose frames; without rounds those of its marks.

    What is kept isn't done again, the first round among it.
    """
    name = f"{folder.name}-{args.prompts}"
    labels = open_labels(folder / "labels.tif")
    truth = np.stack([labels[t] for t in range(labels.shape[0])])
    case = Case(folder.name, truth, args.frames, args.rounds, args.prompts)
    frames = open_frames(folder / "images.tif")
    opened = (kept.folder or scratch) / f"{name}.session"
    first = kept.read(f"{name}-first")
    if first is None or not opened.exists():
        shutil.rmtree(opened, ignore_errors=True)
        chosen = {"weights": args.weights, "device": args.device}
        with Session(frames, engine=args.engine, **chosen) as session:
            chosen["weights"] = args.interactor_weights
            session.choose_interactor(args.interactor, **chosen)
            first = first_round(case, session)
            session.save(opened)
        kept.write(f"{name}-first", first)
    if not case.n_rounds:
        return first
    figures: dict[str, Any] = {}
    for choice in args.choose:
        played = []
        for seed in range(args.seeds if choice == "random" else 1):
            run = kept.read(f"{name}-{choice}-{seed}")
            if run is None:
                # The same first round for everyone: all go on from copies.
                shutil.copytree(opened, scratch / choice)
                with Session.load(scratch / choice, frames) as session:
                    run = play(case, session, choice, seed, first)
                shutil.rmtree(scratch / choice)
                kept.write(f"{name}-{choice}-{seed}", run)
            played.append(run)
        figures[choice] = summary(played)
    return figures


def summary(played: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Return the mean curve of one way to choose frames, and its runs."""
    keys = ("J", "F", "J&F", "seconds")
    by_round = zip(*played, strict=True)
    mean = [{key: fmean(each[key] for each in several) for key in keys} for several in by_round]
    return {
        "area": fmean(area(rounds) for rounds in played),
        "prompt_J": played[0][0]["prompt_J"],
        "rounds": mean,
        "largest_loss": max(
            (before["J"] - after["J"] for rounds in played for before, after in pairwise(rounds)),
            default=0.0,
        ),
        "untouched_pixels_changed": sum(
            figures.get("untouched_pixels_changed", 0) for rounds in played for figures in rounds
        ),
        "runs": played,
    }


def mean_of(sequences: dict[str, dict[str, Any]], choice: str) -> dict[str, Any]:
    """Return the means over sequences of what a way to choose frames has given."""
    several = [figures[choice] for figures in sequences.values()]
    return {
        "area": fmean(each["area"] for each in several),
        "prompt_J": fmean(each["prompt_J"] for each in several),
        "largest_loss": max(each["largest_loss"] for each in several),
        "rounds": [
            {key: fmean(figures[key] for figures in same) for key in same[0]}
            for same in zip(*(each["rounds"] for each in several), strict=True)
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_reference(parser)
    parser.add_argument("--sequences", nargs="+", default=SEQUENCES, metavar="NAME")
    parser.add_argument("--prompts", choices=KINDS, default="scribble")
    parser.add_argument("--choose", nargs="+", choices=CHOICES, default=["worst"])
    parser.add_argument("--seeds", type=int, default=5, help="runs with random frames")
    parser.add_argument("--rounds", type=int, default=5, help="0: mark frame 0 and no more")
    parser.add_argument("--frames", type=int, default=N_FRAMES)
    parser.add_argument("--interactor", default="compact")
    parser.add_argument("--interactor-weights", help="weights file; its own if not given")
    parser.add_argument("--engine", default="compact")
    parser.add_argument("--weights", help="weights file of the engine; its own if not given")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cache", type=Path, help="folder that keeps each run, to go on from")
    add_out(parser)
    args = parser.parse_args()
    if args.reference is None:
        parser.error("name the reference folder: --reference or NAPARI_VOS_REFERENCE")
    same = ("rounds", "frames", "interactor", "interactor_weights", "engine", "weights")
    kept = Kept(args.cache, {name: getattr(args, name) for name in same})
    with tempfile.TemporaryDirectory() as scratch:
        sequences = {
            name: run_sequence(Path(args.reference) / "data" / name, args, Path(scratch), kept)
            for name in args.sequences
        }
    mean: dict[str, Any] = {}
    if args.rounds:
        mean = {choice: mean_of(sequences, choice) for choice in args.choose}
    else:
        mean["prompt_J"] = fmean(figures["prompt_J"] for figures in sequences.values())
        print(f"mean            prompt J {mean['prompt_J']:.3f}", file=sys.stderr)
    for choice in args.choose if args.rounds else ():
        figures = mean[choice]
        curve = "  ".join(f"{each['J']:.3f}" for each in figures["rounds"])
        told = f"prompt J {figures['prompt_J']:.3f}  J {curve}  area {figures['area']:.3f}"
        print(f"mean            {choice:6} {told}", file=sys.stderr)
    report = {
        "prompts": args.prompts,
        "interactor": args.interactor,
        "engine": args.engine,
        "mean": mean,
        "sequences": sequences,
    }
    write_report(report, args.out)


if __name__ == "__main__":
    main()

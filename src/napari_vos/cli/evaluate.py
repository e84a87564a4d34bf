"""`napari-vos evaluate`: labels against the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_vos.cli.options import AsJson, Frames, parse_frames, report
from napari_vos.errors import FramesError


def evaluate(
    result: Annotated[
        Path, typer.Argument(metavar="RESULT", help="Labels to score.", show_default=False)
    ],
    truth: Annotated[
        Path, typer.Argument(metavar="TRUTH", help="True labels.", show_default=False)
    ],
    prompts: Annotated[
        Path | None,
        typer.Option(help="What was prompted: its objects are scored, its frames aren't."),
    ] = None,
    frames: Frames = None,
    all_objects: Annotated[
        bool, typer.Option("--all-objects", help="Also score objects that were not prompted.")
    ] = False,
    instances: Annotated[
        bool,
        typer.Option("--instances", help="Score each frame by itself, whatever the ids."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Score labels: J (region), F (boundary), J&F, and ghosts.

    Each is the mean over objects of the mean over the frames where the truth
    holds the object, prompted frames left out. Ghosts are the share of what
    the result holds on completely annotated frames that the truth has ended.

    A file meta.json beside TRUTH tells in its list "annotated_frames" on which
    frames (from 0) every object has a mask. Without it those frames count as
    complete that hold any mask.

    With --instances: AP on completely annotated frames, at an overlap of 0.5 and
    in the mean from 0.5 to 0.95; recall; and SEG of the Cell Tracking Challenge.
    """
    from napari_vos.io import open_labels
    from napari_vos.metrics import evaluate, evaluate_instances, find_annotation

    if instances and (prompts is not None or all_objects):
        raise FramesError(
            "--instances scores all instances of a frame: leave --prompts and --all-objects away."
        )
    true_labels = open_labels(truth)
    given = None
    if prompts is not None:
        stack = open_labels(prompts)
        given = {t: stack[t] for t in stack.non_empty_frames()}
    annotation = find_annotation(truth)
    chosen = parse_frames(frames, len(true_labels))
    complete = None if annotation is None else annotation.complete_frames
    if instances:
        found = evaluate_instances(
            open_labels(result), true_labels, frames=chosen, complete_frames=complete
        )
        precision = f"AP50 {found.ap50:.3f}   AP {found.ap:.3f}   " if found.n_complete else ""
        text = (
            f"{precision}recall {found.recall:.3f}   SEG {found.seg:.3f}\n"
            f"{found.n_references} instances, {found.n_complete} frames with masks of everything"
        )
        report(found.summary(), text, as_json=as_json)
        return
    scores = evaluate(
        open_labels(result),
        true_labels,
        prompts=given,
        all_objects=all_objects,
        frames=chosen,
        complete_frames=complete,
    )
    text = (
        f"J {scores.j:.3f}   F {scores.f:.3f}   J&F {scores.jf:.3f}   ghosts {scores.ghosts:.1%}\n"
        f"{len(scores.by_object)} objects, {len(scores.pairs)} masks compared"
    )
    report(scores.summary(), text, as_json=as_json)

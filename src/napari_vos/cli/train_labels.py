"""`napari-vos train labels`: the detector of cells learns from annotated frames."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_vos.cli.options import (
    AsJson,
    Axes,
    Channels,
    parse_channels,
    parse_frame_list,
    report,
)

if TYPE_CHECKING:
    from napari_vos.io.labels import LabelStack

ALL = "all"


def labels(
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="The time-lapse.", show_default=False)
    ],
    annotated: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS", help="Labels of cells on some of its frames.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for checkpoint and weights.")] = Path(
        "napari-vos-labels"
    ),
    minutes: Annotated[float, typer.Option(min=0.1, help="How long to train at most.")] = 5.0,
    frames: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,…",
            help="Frames whose masks are right, such as 0,5,20:30; all that hold any if not given.",
        ),
    ] = None,
    incomplete: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,…",
            help="Frames on which cells lack a mask, or 'all'. If not given those that a meta.json "
            "beside LABELS doesn't list as annotated_frames; without one all are complete.",
        ),
    ] = None,
    ignore: Annotated[
        Path | None,
        typer.Option(help="Labels that are not 0 where it isn't known what there is."),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(help="Weights to begin with: a file; those of the package if not given."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all random choices.")] = 0,
    axes: Axes = None,
    channels: Channels = None,
    as_json: AsJson = False,
) -> None:
    """Train the detector of cells on annotated frames of a time-lapse.

    The last fifth of them is held out: the weights that find its cells best
    are kept, so what is measured there is a little too good afterwards.
    Training ends when they don't become better. Called again
    with the same folder, images and labels, a stopped training goes on.
    """
    from napari_vos.io import open_frames, open_labels
    from napari_vos.training.own_cells import OwnCellsTraining, train
    from napari_vos.training.own_labels import gather

    stack = open_frames(images, axes=axes, channels=parse_channels(channels))
    truth = open_labels(annotated)
    chosen = None if frames is None else parse_frame_list("--frames", frames, len(truth))
    known = gather(
        stack,
        truth,
        annotated=chosen,
        incomplete=_incomplete(incomplete, annotated, truth),
        ignored=None if ignore is None else open_labels(ignore),
    )
    recipe = OwnCellsTraining(out=out, start_from=start_from, minutes=minutes, seed=seed)
    last = train(known, recipe, report=lambda line: typer.echo(line, err=True))
    report(
        {
            "weights": last.path,
            "diameter": last.diameter,
            "annotated_frames": known.filled,
            "before": last.before.summary(),
            "after": last.best.summary(),
        },
        f"AP50 on held-out frames was {last.before.ap50:.3f} and is {last.best.ap50:.3f}. "
        f"The weights are in '{last.path}'; use them with --diameter {last.diameter:.0f}.",
        as_json=as_json,
    )


def _incomplete(text: str | None, path: Path, truth: LabelStack) -> Collection[int]:
    from napari_vos.metrics import find_annotation

    every = range(len(truth))
    if text is not None:
        return every if text == ALL else parse_frame_list("--incomplete", text, len(truth))
    annotation = find_annotation(path)
    return () if annotation is None else set(every) - annotation.complete_frames

"""`napari-vos train mivos`: the propagation network of MiVOS learns from labelled frames."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_vos.cli.options import AsJson, Axes, Channels, parse_channels, report


def mivos(
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="The time-lapse.", show_default=False)
    ],
    labels: Annotated[
        Path,
        typer.Option(
            help="Masks on two of its frames or more, 0 on all others; an object has the same "
            "label on all.",
            show_default=False,
        ),
    ],
    weights: Annotated[
        Path,
        typer.Option(
            help="Propagation network to begin with, such as the authors'.", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for checkpoint and weights.")
    ] = Path("napari-vos-mivos"),
    minutes: Annotated[float, typer.Option(min=0, help="How long to train.")] = 30.0,
    seed: Annotated[int, typer.Option(help="Of all random choices.")] = 0,
    axes: Axes = None,
    channels: Channels = None,
    as_json: AsJson = False,
) -> None:
    """Train the propagation network of MiVOS on labelled frames, on the GPU if there is one.

    Called again with the same folder, images, labels and weights, a stopped training goes on.
    """
    from napari_vos.io import open_frames, open_labels
    from napari_vos.training.mivos import MivosTraining, train

    path = train(
        open_frames(images, axes=axes, channels=parse_channels(channels)),
        open_labels(labels),
        MivosTraining(out=out, start_from=weights, minutes=minutes, seed=seed),
        report=lambda line: typer.echo(line, err=True),
    )
    report({"weights": path}, f"The weights are in '{path}'.", as_json=as_json)

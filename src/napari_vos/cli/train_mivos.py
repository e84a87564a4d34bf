"""`napari-vos train mivos`: the networks of MiVOS learn from labelled frames."""

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
            help="Masks on two of its frames or more, on three for fusion, 0 on all others; an "
            "object has the same label on all.",
            show_default=False,
        ),
    ],
    weights: Annotated[
        Path,
        typer.Option(
            help="Propagation network to go on training, such as the authors'.",
            show_default=False,
        ),
    ],
    fusion_weights: Annotated[
        Path | None,
        typer.Option(help="Fusion network to go on training instead, on masks of the other one."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for checkpoint and weights.")
    ] = Path("napari-vos-mivos"),
    minutes: Annotated[float, typer.Option(min=0, help="How long to train.")] = 30.0,
    seed: Annotated[int, typer.Option(help="Of all random choices.")] = 0,
    axes: Axes = None,
    channels: Channels = None,
    as_json: AsJson = False,
) -> None:
    """Train a network of MiVOS on labelled frames, on the GPU if there is one.

    Called again with the same folder, images, labels and weights, a stopped training goes on.
    """
    from napari_vos.io import open_frames, open_labels
    from napari_vos.training.mivos import MivosTraining, train

    path = train(
        open_frames(images, axes=axes, channels=parse_channels(channels)),
        open_labels(labels),
        MivosTraining(out, weights, fusion_weights, minutes=minutes, seed=seed),
        report=lambda line: typer.echo(line, err=True),
    )
    report({"weights": path}, f"The weights are in '{path}'.", as_json=as_json)

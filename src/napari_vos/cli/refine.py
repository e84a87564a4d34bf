"""`napari-vos refine`: sharp borders for labels of reduced scale."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from napari_vos.cli.options import (
    AsJson,
    Axes,
    Channels,
    Device,
    LabelOutput,
    Weights,
    parse_channels,
    report,
)
from napari_vos.configs import RefinementConfig


def refine(
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="The time-lapse.", show_default=False)
    ],
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS", help="Labels of the same frames and size.", show_default=False
        ),
    ],
    output: LabelOutput,
    factor: Annotated[
        int, typer.Option(help="Pixels of the image per pixel of the labels' scale: 2, 4 or 8.")
    ] = RefinementConfig.factor,
    certainty: Annotated[
        float,
        typer.Option(
            help="A pixel changes sides if this is its probability or more, from 0.5 to 1."
        ),
    ] = RefinementConfig.certainty,
    weights: Weights = None,
    device: Device = "auto",
    axes: Axes = None,
    channels: Channels = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT.")] = False,
    as_json: AsJson = False,
) -> None:
    """Sharpen the borders of labels by the images.

    Made for labels that come from smaller images or look coarse. Only pixels
    along borders change; every object stays, under its id.
    """
    from napari_vos.io import open_frames, open_labels, write_labels
    from napari_vos.session.refinement import refine_labels

    refined = refine_labels(
        open_frames(images, axes=axes, channels=parse_channels(channels)),
        open_labels(labels),
        config=RefinementConfig(factor=factor, certainty=certainty),
        weights=weights,
        device=device,
    )
    started = time.perf_counter()
    write_labels(output, refined, overwrite=overwrite)
    seconds = time.perf_counter() - started
    result = {"output": output, "n_frames": len(refined), "seconds": seconds}
    report(result, f"{len(refined)} frames in {seconds:.1f} s: '{output}'", as_json=as_json)

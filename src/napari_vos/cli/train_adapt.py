"""`napari-vos train adapt`: the weights of an engine learn one time-lapse."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from napari_vos.cli.options import AsJson, Axes, Channels, Engine, Weights, parse_channels, report
from napari_vos.errors import StoreError

SUFFIX = ".safetensors"


def adapt(
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="The time-lapse.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Weights to write: .safetensors.")],
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            help="Masks of some of its frames, 0 on all others; may be repeated. 'compact' needs "
            "one frame at least."
        ),
    ] = None,
    engine: Engine = "compact",
    weights: Weights = None,
    minutes: Annotated[float, typer.Option(min=0, help="How long to learn.")] = 5.0,
    seed: Annotated[int, typer.Option(help="Of all random choices.")] = 0,
    axes: Axes = None,
    channels: Channels = None,
    as_json: AsJson = False,
) -> None:
    """Adapt the weights of an engine to one time-lapse, on the GPU if there is one.

    'mast' learns from the images alone, 'compact' from the frames with masks. With two of
    these or more, the masks of one are propagated to another before and after, and
    nothing is written if that has become worse. Ctrl+C ends it earlier.
    """
    from napari_vos.cli.propagate import painted_frames
    from napari_vos.io import open_frames, open_labels
    from napari_vos.io.output import whole_output
    from napari_vos.session import Session

    if output.suffix.lower() != SUFFIX:
        raise StoreError(f"Can't write weights to '{output}': expected a name ending in {SUFFIX}.")
    if not output.absolute().parent.is_dir():
        raise StoreError(
            f"There is no folder '{output.absolute().parent}' to write '{output.name}' in. Make it "
            "first, or choose another one."
        )
    if output.exists():
        raise StoreError(f"'{output}' exists already. Choose another name.")
    stack = open_frames(images, axes=axes, channels=parse_channels(channels))
    given = [open_labels(path) for path in labels or ()]
    with Session(stack, engine=engine, weights=weights) as session:
        for prompts in given:
            for t in painted_frames(stack, prompts):
                session.add_mask(t, prompts[t])
        try:
            with closing(session.adapt(minutes=minutes, seed=seed)) as steps:
                for step in steps:
                    if step.loss is not None:
                        line = f"{step.share:4.0%}  step {step.step}  loss {step.loss:.4f}"
                        typer.echo(line, err=True)
        except KeyboardInterrupt:
            typer.echo("Stopped.", err=True)
        outcome = session.adapted
        if outcome is None:  # stopped before anything was learned
            raise typer.Exit(130)
        if outcome.weights is not None:
            with whole_output(output, overwrite=False) as temporary:
                shutil.copyfile(outcome.weights, temporary)
        result = {
            "weights": None if outcome.weights is None else output,
            "engine": engine,
            "steps": outcome.steps,
            "loss_before": outcome.start_loss,
            "loss_after": outcome.loss,
            "diverged": outcome.diverged,
            "comparison": outcome.comparison and outcome.comparison._asdict(),
        }
    end = f"The weights are in '{output}'." if outcome.weights else "Nothing is written."
    report(result, f"{outcome}\n{end}", as_json=as_json)

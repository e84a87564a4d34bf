"""`napari-vos train adapt`: the weights of an engine learn one time-lapse."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_vos.cli.options import (
    AsJson,
    Axes,
    Channels,
    Device,
    Weights,
    parse_channels,
    report,
)
from napari_vos.errors import StoreError

if TYPE_CHECKING:
    from napari_vos.session import AdaptOutcome

SUFFIX = ".safetensors"


def adapt(
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="The time-lapse.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Weights to write: .safetensors; if not given, named after images and engine.",
        ),
    ] = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            help="Masks of some of its frames, 0 on all others; may be repeated. 'compact' needs "
            "one frame at least."
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="Engine that learns; if not given, 'compact' with masks, else 'mast'."),
    ] = None,
    weights: Weights = None,
    device: Device = "auto",
    minutes: Annotated[float, typer.Option(min=0, help="How long to learn.")] = 5.0,
    seed: Annotated[int, typer.Option(help="Of all random choices.")] = 0,
    axes: Axes = None,
    channels: Channels = None,
    as_json: AsJson = False,
) -> None:
    """Adapt the weights of an engine to one time-lapse.

    'mast' learns from the images alone, 'compact' from the frames with masks. These are
    propagated before and after, from one to another or there and back, and nothing is
    written if that has become worse. Ctrl+C ends it earlier.
    """
    from napari_vos.cli.propagate import painted_frames
    from napari_vos.io import open_frames, open_labels
    from napari_vos.session import Session

    engine = engine or ("compact" if labels else "mast")
    output = output or Path(f"{images.resolve().stem}-{engine}{SUFFIX}")
    if output.suffix.lower() != SUFFIX:
        raise StoreError(f"Can't write weights to '{output}': expected a name ending in {SUFFIX}.")
    if not output.absolute().parent.is_dir():
        raise StoreError(
            f"There is no folder '{output.absolute().parent}' to write '{output.name}' in. Make it "
            "first, or choose another one."
        )
    if output.exists():
        raise StoreError(f"'{output}' exists already. Choose another name with -o.")
    stack = open_frames(images, axes=axes, channels=parse_channels(channels))
    given = [open_labels(path) for path in labels or ()]
    with Session(stack, engine=engine, weights=weights, device=device) as session:
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
        except Exception:
            if session.adapted is not None:
                typer.echo(_write(session.adapted, output), err=True)
            raise
        outcome = session.adapted
        if outcome is None:  # stopped before anything was learned
            raise typer.Exit(130)
        text = _write(outcome, output)
        result = {
            "weights": None if outcome.weights is None else output,
            "engine": engine,
            "steps": outcome.steps,
            "loss_before": outcome.start_loss,
            "loss_after": outcome.loss,
            "diverged": outcome.diverged,
            "comparison": outcome.comparison and outcome.comparison._asdict(),
        }
    report(result, text, as_json=as_json)


def _write(outcome: AdaptOutcome, output: Path) -> str:
    """Write the weights if they were kept, and return what to say of it."""
    from napari_vos.io.output import whole_output

    if outcome.weights is None:
        return f"{outcome}\nNothing is written."
    with whole_output(output, overwrite=False) as temporary:
        shutil.copyfile(outcome.weights, temporary)
    return f"{outcome}\nThe weights are in '{output}'; use them with --engine {outcome.engine}."

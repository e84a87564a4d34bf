"""`napari-vos propagate`: from painted frames to masks on every frame."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from napari_vos.cli.options import (
    AsJson,
    Axes,
    Channels,
    Device,
    Engine,
    Frames,
    FusionWeights,
    LabelOutput,
    Memory,
    Precision,
    Refine,
    Weights,
    parse_channels,
    parse_frames,
    parse_fusion,
    parse_size,
    report,
)
from napari_vos.configs import refining
from napari_vos.errors import NapariVosError, PromptError, StoreError

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_vos.configs import EngineConfig
    from napari_vos.frames import FrameStack
    from napari_vos.io import LabelStack
    from napari_vos.session import Progress, Session
    from napari_vos.session.spans import Direction

_SUFFIXES = (".tif", ".tiff", ".zarr")
_INTERRUPTED = 130
"""Exit code of a program that was stopped by Ctrl+C."""


def propagate(
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="The time-lapse.", show_default=False)
    ],
    prompts: Annotated[
        Path,
        typer.Argument(
            metavar="PROMPTS",
            help="Labels of the same frames; those that aren't empty are yours.",
            show_default=False,
        ),
    ],
    output: LabelOutput,
    session: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps all that is finished; beside OUTPUT if not given.",
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="CSV to write: t, id, area, centroid, confidence, source."),
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option(help="CSV to write: where objects begin and end, their parents."),
    ] = None,
    ctc: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Masks and res_track.txt to write, as for the tracking challenge.",
        ),
    ] = None,
    newcomers: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Find objects on every N-th frame, and follow new ones too."
        ),
    ] = None,
    accept_parents: Annotated[
        bool,
        typer.Option(
            "--accept-parents",
            help="Take objects that end where others begin for their parents.",
        ),
    ] = False,
    detector: Annotated[str, typer.Option(help="What finds newcomers: cells or yolact.")] = "cells",
    detector_weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="Its weights; the shipped ones if not.")
    ] = None,
    detector_score: Annotated[
        float, typer.Option(min=0, max=1, help="What is less certain is no newcomer.")
    ] = 0.4,
    frames: Frames = None,
    direction: Annotated[
        str, typer.Option(help="From your frames: both, forward or backward.")
    ] = "both",
    engine: Engine = "compact",
    weights: Weights = None,
    fusion_weights: FusionWeights = None,
    refine: Refine = False,
    device: Device = "auto",
    precision: Precision = "auto",
    memory: Memory = None,
    axes: Axes = None,
    channels: Channels = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start anew; replace outputs and session.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Propagate the masks of painted frames to all frames.

    IMAGES and PROMPTS are TIFF, OME-TIFF or zarr files, folders with one image
    per frame, or video.

    Every finished frame is kept in the session's folder. The same command
    called again goes on where it was stopped, by Ctrl+C or anything else; when
    all is done it only writes its outputs again. Frames painted since are
    propagated too, as corrections; changed ones are refused.
    """
    from napari_vos.cli.continuing import add_prompts, delete_session, holds_session, open_session
    from napari_vos.io import open_frames, open_labels, write_labels, write_table

    folder = session or output.with_suffix(".session")
    _check_outputs(output, [table, events], ctc, folder, overwrite=overwrite)
    towards = _parse_direction(direction, newcomers)
    memory_bytes = parse_size(memory)
    config: EngineConfig | None = parse_fusion(engine, fusion_weights)
    if refine:
        config = refining(engine, config)
    stack = open_frames(images, axes=axes, channels=parse_channels(channels))
    labels = open_labels(prompts)
    window = parse_frames(frames, stack.n_frames)
    painted = painted_frames(stack, labels)

    if overwrite and holds_session(folder):
        delete_session(folder)
    with open_session(
        folder,
        stack,
        memory_bytes=memory_bytes,
        engine=engine,
        config=config,
        weights=weights,
        device=device,
        precision=precision,
    ) as opened:
        opened.estimated.connect(lambda estimate: typer.echo(estimate, err=True))
        opened.warned.connect(lambda message: typer.echo(f"Warning: {message}", err=True))
        add_prompts(opened, labels, painted)
        started = time.perf_counter()
        chosen = None if frames is None else (window.start, window.stop - 1)
        if newcomers is None:
            n_done = _run(opened, opened.propagate(frames=chosen, direction=towards))
        else:
            opened.choose_detector(
                detector, weights=detector_weights, device=device, precision=precision
            )
            steps = opened.follow_newcomers(every=newcomers, frames=chosen, score=detector_score)
            n_done = _run(opened, steps)
        seconds = time.perf_counter() - started
        if accept_parents:
            proposed = {each.child: each.parent for each in opened.propose_parents()}
            if proposed:
                opened.accept_parents(proposed)
        write_labels(output, opened.labels, overwrite=True)
        if table is not None:
            write_table(table, opened.table(), overwrite=True)
        if events is not None:
            opened.export_events(events, overwrite=True)
        if ctc is not None:
            opened.export_ctc(ctc, overwrite=True)
        confidence = opened.confidence
        result = {
            "output": output,
            "table": table,
            "events": events,
            "ctc": ctc,
            "session": folder,
            "n_frames": stack.n_frames,
            "n_objects": len(opened.object_ids),
            "n_newcomers": len(opened.newcomers),
            "parents": opened.parents,
            "painted_frames": painted,
            "n_propagated": n_done,
            "seconds": seconds,
            "confidence": sum(confidence.values()) / len(confidence),
        }
    text = (
        f"{result['n_objects']} objects on {stack.n_frames} frames: '{output}'\n"
        f"The session is in '{folder}'."
    )
    report(result, text, as_json=as_json)


def _check_outputs(
    output: Path, tables: list[Path | None], ctc: Path | None, folder: Path, *, overwrite: bool
) -> None:
    """Refuse before the work what couldn't be written after it."""
    from napari_vos.cli.continuing import holds_session
    from napari_vos.io.ctc import is_ctc

    if output.suffix.lower() not in _SUFFIXES:
        raise StoreError(
            f"Can't write labels to '{output}': expected a name ending in {', '.join(_SUFFIXES)}."
        )
    for path in (output, *tables, ctc):
        if path is None:
            continue
        parent = path.absolute().parent
        if not parent.is_dir():
            raise StoreError(
                f"There is no folder '{parent}' to write '{path.name}' in. Make it first, or "
                "choose another one."
            )
        if not os.access(parent, os.W_OK):
            raise StoreError(
                f"The folder '{parent}' can't be written, so '{path.name}' can't be put there. "
                "Choose another one."
            )
        if path.exists() and not overwrite and not holds_session(folder):
            raise StoreError(
                f"'{path}' exists already. Choose another name, or replace it with --overwrite."
            )
    if ctc is not None and ctc.exists() and not is_ctc(ctc):
        raise StoreError(
            f"'{ctc}' isn't a folder of masks and res_track.txt, which alone is replaced. Choose "
            "another name."
        )


def _parse_direction(direction: str, newcomers: int | None) -> Direction:
    """Return the direction that is meant, of which newcomers know both alone.

    Raises
    ------
    NapariVosError
        If there is no such direction, or newcomers are asked for in one.
    """
    from napari_vos.session.spans import Direction

    if direction not in get_args(Direction):
        raise NapariVosError(
            f"There is no --direction '{direction}'; expected {', '.join(get_args(Direction))}."
        )
    if newcomers is not None and direction != "both":
        raise NapariVosError(
            f"--newcomers are followed both ways, but --direction is '{direction}'. Leave one out."
        )
    return cast("Direction", direction)


def painted_frames(frames: FrameStack, prompts: LabelStack) -> list[int]:
    """Return the frames that aren't empty.

    Raises
    ------
    PromptError
        If all are, or the shapes differ.
    """
    expected = (frames.n_frames, *frames.shape)
    if prompts.shape != expected:
        raise PromptError(
            f"'{prompts.name}' has the shape {prompts.shape} (T, Y, X) and '{frames.name}' "
            f"{expected}. Give labels of the same frames and size as the images, 0 where "
            "nothing is painted."
        )
    painted = prompts.non_empty_frames()
    if not painted:
        raise PromptError(
            f"'{prompts.name}' is empty on all frames. Paint the objects of at least one frame."
        )
    return painted


def _run(session: Session, steps: Generator[Progress]) -> int:
    """Take all steps with a progress bar; return how many there were."""
    from tqdm import tqdm

    n_frames = 0
    try:
        with closing(steps) as results:
            # A run that is refused shows no bar, and what was done before counts for no speed.
            first = next(results, None)
            if first is None:
                return 0
            n_frames = 1
            name = Path(session.frames.name).name
            with tqdm(desc=name, unit="frame", total=first.n_total, initial=first.n_done) as bar:
                for result in results:
                    n_frames += 1
                    bar.total = result.n_total
                    bar.update(result.n_done - bar.n)
    except KeyboardInterrupt:
        typer.echo(
            f"Stopped. What is finished is kept in '{session.folder}'. Call the same command "
            "again to go on.",
            err=True,
        )
        raise typer.Exit(_INTERRUPTED) from None
    return n_frames

"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_vos.configs import MivosConfig
from napari_vos.errors import DeviceError, FramesError, WeightsError

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")
]
Frames = Annotated[
    str | None,
    typer.Option(metavar="FIRST:END", help="Frames as in Python: 0:30 is the first thirty."),
]
Axes = Annotated[
    str | None,
    typer.Option(help="Axes of the images, one letter per dimension, such as TYX or TCYX."),
]
Channels = Annotated[
    str | None,
    typer.Option(metavar="N,N,N", help="Channels the network sees, from 0, one to three."),
]
Engine = Annotated[str, typer.Option(help="Engine that propagates.")]
Weights = Annotated[
    str | None, typer.Option(help="Weights: a file or a registered name. The shipped ones if not.")
]
FusionWeights = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Weights of the fusion network of 'mivos'; masks are fused by distance if not.",
    ),
]
Refine = Annotated[
    bool,
    typer.Option(
        "--refine",
        help="Find borders again in the image at each frame: of objects larger than their window "
        "with 'compact', of all with 'mivos' and 'mast', which then run at half scale.",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Precision = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
Memory = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Memory to stay within, such as 500MB; what is free if not."),
]
LabelOutput = Annotated[
    Path, typer.Option("--output", "-o", help="Labels to write: .tif, .tiff or .zarr.")
]


def parse_frames(text: str | None, n_frames: int) -> range:
    """Return the frames that "a:b" means in a stack; all if it is None.

    Raises
    ------
    FramesError
        If it isn't two numbers around a colon, or no frames of the stack.
    """
    if text is None:
        return range(n_frames)
    first, colon, end = text.partition(":")
    try:
        frames = range(int(first or 0), int(end or n_frames))
    except ValueError:
        colon = ""
        frames = range(0)
    if not colon or not frames or frames.start < 0 or frames.stop > n_frames:
        raise FramesError(
            f"--frames '{text}' isn't a part of the frames 0:{n_frames}. Write for instance "
            f"0:{n_frames}."
        )
    return frames


def parse_frame_list(option: str, text: str, n_frames: int) -> list[int]:
    """Return the frames that "0,5,20:30" means in a stack, ascending.

    Parameters
    ----------
    option
        What the text was given as, for messages.
    text
        Frames, and first and end of several, between commas.
    n_frames
        Of the stack.

    Raises
    ------
    FramesError
        If it isn't such a list, or a frame is outside the stack.
    """
    chosen: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)(?::(\d+))?", part.strip())
        first, end = found.groups() if found else ("0", "0")
        frames = range(int(first), int(first) + 1 if end is None else int(end))
        if not frames or frames.stop > n_frames:
            raise FramesError(
                f"{option} '{text}' isn't a list of the frames 0 to {n_frames - 1}. Write for "
                "instance 0,5,20:30."
            )
        chosen.update(frames)
    return sorted(chosen)


def parse_channels(text: str | None) -> list[int] | None:
    """Return the channels that "0,2" means.

    Raises
    ------
    FramesError
        If it isn't numbers between commas.
    """
    if text is None:
        return None
    try:
        return [int(channel) for channel in text.split(",")]
    except ValueError as error:
        raise FramesError(
            f"--channels '{text}' isn't a list of channels. Write for instance 0,2."
        ) from error


def parse_fusion(engine: str, fusion_weights: str | None) -> MivosConfig | None:
    """Return the configuration that fuses with these weights; the engine's own if None.

    Raises
    ------
    WeightsError
        If the engine isn't "mivos".
    """
    if fusion_weights is None:
        return None
    if engine != "mivos":
        raise WeightsError(
            f"--fusion-weights is for the engine 'mivos', and this run is on '{engine}'. Leave "
            "it away, or add --engine mivos."
        )
    return MivosConfig(fusion_weights=fusion_weights)


def parse_size(text: str | None) -> int | None:
    """Return the bytes that "500MB" or "1.5GB" means.

    Raises
    ------
    DeviceError
        If it isn't a number with one of these units.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([MG])B", text)
    if found is None:
        raise DeviceError(f"--memory '{text}' isn't a size. Write for instance 500MB or 2GB.")
    return int(float(found[1]) * {"M": 1e6, "G": 1e9}[found[2]])


def report(result: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print a command's result: as one JSON object, or as text for people."""
    typer.echo(json.dumps(result, default=str) if as_json else text)

"""`napari-vos replay`: a session done again from its journal."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from napari_vos.cli.options import AsJson, Axes, Channels, parse_channels, report

TOLERATED_SHARE = 0.001
"""Share of pixels that may differ on another machine, version or number of threads."""


def replay(
    session: Annotated[
        Path, typer.Argument(metavar="SESSION", help="Folder of the session.", show_default=False)
    ],
    images: Annotated[
        Path | None, typer.Option(help="Its images, if they aren't where they were.")
    ] = None,
    axes: Axes = None,
    channels: Channels = None,
    as_json: AsJson = False,
) -> None:
    """Do all that a session's journal tells again, and compare the labels.

    The session itself isn't changed. The exit code is 1 if more than 0.1 % of
    the pixels differ.
    """
    from napari_vos.io import open_frames
    from napari_vos.session.replay import replay

    frames = None
    if images is not None:
        frames = open_frames(images, axes=axes, channels=parse_channels(channels))
    outcome = replay(session, frames)
    if outcome.identical:
        text = "Identical on every frame."
    else:
        text = (
            f"{outcome.share:.4%} of the pixels differ, on {len(outcome.different)} frames; most "
            f"on frame {max(outcome.different, key=outcome.different.__getitem__)}."
        )
    text = "\n".join([text, *outcome.changes])
    report({"identical": outcome.identical, **asdict(outcome)}, text, as_json=as_json)
    if outcome.share > TOLERATED_SHARE:
        raise typer.Exit(1)

"""The program `napari-vos`: its commands, and how what goes wrong is said."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from napari_vos.cli.demo import demo
from napari_vos.cli.evaluate import evaluate
from napari_vos.cli.propagate import propagate
from napari_vos.cli.replay import replay
from napari_vos.cli.train import train
from napari_vos.cli.weights import weights
from napari_vos.errors import NapariVosError


class _Commands(TyperGroup):
    """Commands that say in one line what the user can mend, and end with exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except NapariVosError as error:
            typer.echo("Error: " + " ".join(str(error).split()), err=True)
            raise typer.Exit(2) from error


app = typer.Typer(
    name="napari-vos",
    cls=_Commands,
    help="From the masks of one frame to masks on every frame of a time-lapse.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(propagate)
app.command()(evaluate)
app.command()(replay)
app.add_typer(weights, name="weights")
app.add_typer(train, name="train")

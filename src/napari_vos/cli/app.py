"""The program `napari-vos`: its commands, and how what goes wrong is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from napari_vos.cli.demo import demo
from napari_vos.cli.evaluate import evaluate
from napari_vos.cli.propagate import propagate
from napari_vos.cli.refine import refine
from napari_vos.cli.replay import replay
from napari_vos.cli.segment import segment
from napari_vos.cli.train import train
from napari_vos.cli.weights import weights
from napari_vos.errors import NapariVosError

_UsageError: type[Any] = typer.BadParameter.__mro__[1]
"""A command line that can't be understood; typer exports only this child of it."""


class _Commands(TyperGroup):
    """Commands that say in one line what the user can mend, and end with exit code 2."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with _told_in_one_line():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        with _told_in_one_line():
            return super().invoke(ctx)


@contextmanager
def _told_in_one_line() -> Iterator[None]:
    try:
        yield
    except NapariVosError as error:
        message = str(error)
    except _UsageError as error:
        message = f"{error.format_message().rstrip('.')}. {_expected(error.ctx)}"
    else:
        return
    typer.echo("Error: " + " ".join(message.split()), err=True)
    raise typer.Exit(2)


def _expected(context: Any) -> str:
    """Return what a command line should have looked like."""
    if context is None:  # an option without its value: the message names it
        return "See 'napari-vos --help'."
    path, commands = context.command_path, getattr(context.command, "commands", None)
    if commands:
        return f"Expected one of the commands {', '.join(commands)}; see '{path} --help'."
    usage = " ".join(context.command.collect_usage_pieces(context))
    return f"Expected '{path} {usage}'; see '{path} --help'."


app = typer.Typer(
    name="napari-vos",
    cls=_Commands,
    help="From the masks of one frame to masks on every frame of a time-lapse.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(propagate)
app.command()(refine)
app.command()(segment)
app.command()(evaluate)
app.command()(replay)
app.add_typer(weights, name="weights")
app.add_typer(train, name="train")

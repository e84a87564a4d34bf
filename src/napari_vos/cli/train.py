"""`napari-vos train`: the recipes of the weights in the package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from napari_vos.cli.options import AsJson, report
from napari_vos.cli.train_adapt import adapt
from napari_vos.cli.train_labels import labels
from napari_vos.cli.train_mivos import mivos
from napari_vos.errors import FramesError

Out = Annotated[Path, typer.Option(help="Folder for checkpoint and weights.")]
Minutes = Annotated[float, typer.Option(min=0, help="How long to train.")]
Scenes = Annotated[int, typer.Option(min=1, help="Number of simulated movies.")]
Movies = Annotated[
    list[Path] | None,
    typer.Option(help="Folder with images.tif and labels.tif to mix in; may be repeated."),
]
Workers = Annotated[int, typer.Option(min=1, help="Processes that simulate.")]
Seed = Annotated[int, typer.Option(help="Of all random choices.")]

train = typer.Typer(help="Train a network by its recipe.")


@train.callback()
def _recipes() -> None:
    """Train a network by its recipe."""


def _checked(movies: list[Path] | None) -> tuple[Path, ...]:
    for folder in movies or ():
        for name in ("images.tif", "labels.tif"):
            if not (folder / name).is_file():
                raise FramesError(
                    f"There is no '{name}' in '{folder}'. Give a folder with images.tif and "
                    "labels.tif."
                )
    return tuple(movies or ())


def _run(train: Callable[..., Path], recipe: object, *, as_json: bool) -> None:
    """Train by a recipe, and say where the weights are."""
    path = train(recipe, report=lambda line: typer.echo(line, err=True))
    report({"weights": path}, f"The weights are in '{path}'.", as_json=as_json)


@train.command()
def compact(
    out: Out = Path("napari-vos-training"),
    minutes: Minutes = 60.0,
    scenes: Scenes = 400,
    movie: Movies = None,
    workers: Workers = 1,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train the compact network on simulated movies, on the GPU if there is one.

    Called again with the same folder, a stopped training goes on.
    """
    movies = _checked(movie)
    from napari_vos.training.compact import CompactTraining, train

    recipe = CompactTraining(
        out=out, scenes=scenes, movies=movies, minutes=minutes, seed=seed, workers=workers
    )
    _run(train, recipe, as_json=as_json)


@train.command()
def fusion(
    out: Out = Path("napari-vos-fusion"),
    minutes: Minutes = 12.0,
    scenes: Scenes = 320,
    workers: Workers = 1,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train the network that fuses corrections, on what the compact engine makes of movies.

    Called again with the same folder, a stopped training goes on.
    """
    from napari_vos.training.fusion import FusionTraining, train

    recipe = FusionTraining(out=out, scenes=scenes, minutes=minutes, seed=seed, workers=workers)
    _run(train, recipe, as_json=as_json)


@train.command()
def interaction(
    out: Out = Path("napari-vos-interaction"),
    minutes: Minutes = 60.0,
    scenes: Scenes = 320,
    movie: Movies = None,
    workers: Workers = 1,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train the network that makes masks of what is drawn, on the GPU if there is one.

    Called again with the same folder, a stopped training goes on.
    """
    movies = _checked(movie)
    from napari_vos.training.interaction import InteractionTraining, train

    recipe = InteractionTraining(
        out=out, scenes=scenes, movies=movies, minutes=minutes, seed=seed, workers=workers
    )
    _run(train, recipe, as_json=as_json)


@train.command()
def instances(
    out: Out = Path("napari-vos-instances"),
    minutes: Minutes = 60.0,
    scenes: Scenes = 400,
    movie: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder with images.tif and labels.tif to mix in; may be repeated. What has no "
            "mask is background on the annotated_frames of a meta.json beside them alone."
        ),
    ] = None,
    coco: Annotated[
        list[Path] | None,
        typer.Option(
            help="JSON file in the format of COCO, beside its images, to mix in; may be repeated."
        ),
    ] = None,
    workers: Workers = 1,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train the network that finds cells on simulated movies, on the GPU if there is one.

    Called again with the same folder, a stopped training goes on.
    """
    movies = _checked(movie)
    from napari_vos.training.instances import InstancesTraining, train

    recipe = InstancesTraining(
        out=out,
        scenes=scenes,
        movies=movies,
        coco=tuple(coco or ()),
        minutes=minutes,
        seed=seed,
        workers=workers,
    )
    _run(train, recipe, as_json=as_json)


train.command()(labels)
train.command()(adapt)
train.command()(mivos)


@train.command()
def refinement(
    out: Out = Path("napari-vos-refinement"),
    minutes: Minutes = 20.0,
    scenes: Scenes = 400,
    movie: Annotated[
        list[Path] | None,
        typer.Option(help="Folder with images.tif and labels.tif to mix in; may be repeated."),
    ] = None,
    workers: Workers = 1,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train the network that refines masks on simulated movies, on the GPU if there is one.

    Called again with the same folder, a stopped training goes on.
    """
    movies = _checked(movie)
    from napari_vos.training.refinement import RefinementTraining, train

    recipe = RefinementTraining(
        out=out, scenes=scenes, movies=movies, minutes=minutes, seed=seed, workers=workers
    )
    _run(train, recipe, as_json=as_json)


@train.command()
def mast(
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[IMAGES]...", help="Time-lapses; simulated ones if none."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and weights.")] = Path(
        "napari-vos-mast"
    ),
    minutes: Minutes = 60.0,
    scenes: Annotated[
        int | None,
        typer.Option(min=0, help="Number of simulated movies; 400 without IMAGES, else 0."),
    ] = None,
    start_from: Annotated[
        str | None, typer.Option(help="Weights to begin with: a file or a registered name.")
    ] = None,
    workers: Workers = 1,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train the MAST network on time-lapses without labels, on the GPU if there is one.

    Called again with the same folder, a stopped training goes on.
    """
    from napari_vos.checkpoints import resolve
    from napari_vos.training.mast import MastTraining, train

    movies = tuple(images or ())
    if scenes is None:
        scenes = 0 if movies else 400
    if not movies and not scenes:
        raise FramesError("There is nothing to learn from. Name IMAGES, or give more --scenes.")
    recipe = MastTraining(
        out=out,
        movies=movies,
        scenes=scenes,
        start_from=None if start_from is None else resolve(start_from, "mast_small"),
        minutes=minutes,
        seed=seed,
        workers=workers,
    )
    _run(train, recipe, as_json=as_json)

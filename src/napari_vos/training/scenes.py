"""Labelled movies to train on: simulated ones, and real ones from a folder."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING, Protocol

import numpy as np
import tifffile

from napari_vos.errors import FramesError
from napari_vos.simulation import random_scenario, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


FIRST_SEED = 1000
"""Of the movies of a recipe."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One labelled movie.

    Attributes
    ----------
    images
        (T, Y, X), any integer dtype.
    labels
        (T, Y, X) uint16.
    exact
        Whether an object without a mask is certainly not there. False for
        real movies, in which a mask may be missing.
    """

    images: NDArray[np.generic]
    labels: NDArray[np.uint16]
    exact: bool


def simulate_scene(seed: int) -> Scene:
    """Return the simulated scene of a seed."""
    rng = np.random.default_rng(seed)
    simulation = simulate(random_scenario(rng), seed=seed)
    return Scene(simulation.images, simulation.labels, exact=True)


class SceneRecipe(Protocol):
    """What a recipe says of its simulated movies."""

    @property
    def out(self) -> Path:
        """Folder of the recipe; movies are kept in its `scenes`."""
        ...

    @property
    def scenes(self) -> int:
        """Number of simulated movies."""
        ...

    @property
    def workers(self) -> int:
        """Processes that simulate."""
        ...


class MovieRecipe(SceneRecipe, Protocol):
    """A recipe that mixes real movies in."""

    @property
    def movies(self) -> tuple[Path, ...]:
        """Folders of real movies (`images.tif`, `labels.tif`)."""
        ...


def gather_scenes(recipe: MovieRecipe) -> list[Scene]:
    """Simulate the movies of a recipe, or find those made before, and open the real ones."""
    return [*scenes_of(recipe), *map(open_scene, recipe.movies)]


def describe_data(recipe: MovieRecipe) -> str:
    """Return what a recipe trains on, for the card."""
    return "; ".join(
        [f"{recipe.scenes} simulated movies", *(folder.name for folder in recipe.movies)]
    )


def scenes_of(recipe: SceneRecipe) -> Iterator[Scene]:
    """Yield the simulated movies of a recipe; all recipes share their seeds."""
    folder = recipe.out / "scenes"
    return simulated_scenes(FIRST_SEED, recipe.scenes, folder=folder, workers=recipe.workers)


def simulated_scenes(first_seed: int, count: int, *, folder: Path, workers: int) -> Iterator[Scene]:
    """Yield `count` scenes, made in parallel once and kept in `folder`.

    Parameters
    ----------
    first_seed
        Seeds run from here.
    count
        Number of scenes.
    folder
        Where scenes are kept between runs, about 5 MB each.
    workers
        Processes that simulate.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"scene-{seed:06d}.npz" for seed in range(first_seed, first_seed + count)]
    missing = [path for path in paths if not path.exists()]
    with ProcessPoolExecutor(max(workers, 1), mp_context=get_context("spawn")) as pool:
        for _ in pool.map(_keep_scene, missing, chunksize=4):
            pass
    for path in paths:
        with np.load(path) as kept:
            yield Scene(kept["images"], kept["labels"], exact=True)


def _keep_scene(path: Path) -> None:
    scene = simulate_scene(int(path.stem.split("-")[1]))
    partial = path.with_suffix(".part.npz")
    np.savez(partial, images=scene.images, labels=scene.labels)
    partial.replace(path)


def open_scene(folder: Path) -> Scene:
    """Open a real movie: `images.tif` and `labels.tif`, both (T, Y, X).

    Raises
    ------
    FramesError
        If a file is missing or the shapes differ.
    """
    try:
        images = tifffile.imread(folder / "images.tif")
        labels = tifffile.imread(folder / "labels.tif")
    except (OSError, tifffile.TiffFileError) as error:
        raise FramesError(f"Can't read a training movie from {folder}: {error}") from error
    if images.shape != labels.shape or images.ndim != 3:
        raise FramesError(
            f"{folder}: images.tif has shape {images.shape} and labels.tif {labels.shape}; "
            "expected the same (T, Y, X)."
        )
    return Scene(images, labels.astype(np.uint16), exact=False)

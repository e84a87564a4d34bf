from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from scipy import ndimage

from napari_vos import FrameStack, checkpoints
from napari_vos.engines.mast_frames import planes_of, show
from napari_vos.errors import FramesError, WeightsError
from napari_vos.networks.mast import MastSmall
from napari_vos.training.mast import (
    STAGES,
    ClipStream,
    MastTraining,
    Movies,
    Stage,
    reconstruct,
    train,
)
from napari_vos.training.movies import Clips, Movie, crop_side, cut_clip, load_movie


def drifting(n_frames: int, size: int = 48) -> np.ndarray:
    """A texture that moves by three pixels a frame."""
    ground = np.random.default_rng(0).standard_normal((size, size + 3 * n_frames))
    ground = ndimage.gaussian_filter(ground, 3, mode="wrap")
    frames = [ground[:, 3 * t : 3 * t + size] for t in range(n_frames)]
    return (20000 + 60000 * np.stack(frames)).astype(np.uint16)


@pytest.fixture(scope="module")
def movie() -> Movie:
    return load_movie(FrameStack(drifting(8), axes="TYX"))


def recipe_in(folder: Path, **settings: object) -> MastTraining:
    recipe = MastTraining(out=folder, scenes=0, minutes=0.03, batch_size=2, crop=32)
    return replace(recipe, **settings)  # type: ignore[arg-type]


def test_a_clip_is_what_the_network_sees_of_its_frames(
    movie: Movie, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_vos.training.movies.ZOOMS", (1.0, 1.0))
    stack = FrameStack(drifting(8), axes="TYX")
    whole = torch.stack([show(planes_of(stack, t), bands=True) for t in range(8)])
    clip = cut_clip(np.random.default_rng(0), movie, ages=(2, 1), side=48)
    assert clip.shape == (3, 3, 48, 48)

    def is_shown(order: tuple[int, ...]) -> bool:
        views = [torch.rot90(whole[list(order)], k, dims=(2, 3)) for k in range(4)]
        views += [view.flip(3) for view in views]
        return any(float((clip - view).abs().max()) < 0.02 for view in views)

    forward = [(t - 2, t - 1, t) for t in range(2, 8)]
    assert any(is_shown(order) for order in forward + [order[::-1] for order in forward])


def test_ages_beyond_a_movie_are_as_old_as_can_be(movie: Movie) -> None:
    clip = cut_clip(np.random.default_rng(0), movie[:3], ages=(50, 2, 1), side=32)
    torch.testing.assert_close(clip[0], clip[1])
    assert float((clip[1] - clip[2]).abs().max()) > 0.1


@pytest.mark.parametrize(("shape", "side"), [((50, 70), 48), ((200, 300), 128), ((3, 9), 3)])
def test_crops_fit_into_every_movie(shape: tuple[int, int], side: int) -> None:
    movies = [np.zeros((2, 1, *shape), np.float16), np.zeros((2, 1, 300, 300), np.float16)]
    assert crop_side(movies, 128) == side


def test_a_long_stack_is_cut_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = FrameStack(drifting(8), axes="TYX")
    whole = load_movie(stack)
    monkeypatch.setattr("napari_vos.training.movies.MOVIE_BYTES", 4 * 2 * 48 * 48)
    np.testing.assert_array_equal(load_movie(stack), whole[2:6])


def test_a_grey_movie_saved_as_colour_is_learned_from_as_grey(movie: Movie) -> None:
    copies = np.repeat(drifting(8)[..., None], 3, axis=3)
    np.testing.assert_array_equal(load_movie(FrameStack(copies, axes="TYXS")), movie)
    copies[5, 3, 4, 1] ^= 1 << 15
    assert load_movie(FrameStack(copies, axes="TYXS")).shape == (8, 3, 48, 48)


def test_one_frame_is_refused() -> None:
    with pytest.raises(FramesError, match="'alone' has one frame alone"):
        load_movie(FrameStack(drifting(1), axes="TYX", name="alone"))


def test_batches_depend_on_their_number_alone(movie: Movie, tmp_path: Path) -> None:
    recipe = recipe_in(tmp_path)
    stream = iter(ClipStream(Movies([movie], []), recipe, STAGES[1], 0))
    next(stream)
    later = next(iter(ClipStream(Movies([movie], []), recipe, STAGES[1], 1)))
    for part, expected in zip(later, next(stream), strict=True):
        torch.testing.assert_close(part, expected, rtol=0, atol=0)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_gives_gradients(movie: Movie, tmp_path: Path, stage: Stage) -> None:
    torch.manual_seed(0)
    network = MastSmall()
    clips = next(iter(ClipStream(Movies([movie], []), recipe_in(tmp_path), stage, 0)))
    losses = reconstruct(network, clips, torch.Generator().manual_seed(0))
    losses.total.backward()
    first = network.feature_extraction.conv1[0].weight
    assert losses.copied.item() > 0
    assert first.grad is not None
    assert float(first.grad.abs().max()) > 0


def test_a_few_steps_do_better_than_copying(movie: Movie) -> None:
    torch.manual_seed(0)
    network = MastSmall()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-4)
    random = np.random.default_rng(0)
    frames = torch.stack([cut_clip(random, movie, ages=(2,), side=48) for _ in range(2)])
    clips = Clips(frames, torch.tensor([2]))
    for _ in range(30):
        losses = reconstruct(network, clips, torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
    assert losses.reconstructed.item() < 0.7 * losses.copied.item()


def test_constant_frames_give_a_loss_of_nothing() -> None:
    clips = Clips(torch.zeros(1, 2, 3, 16, 16), torch.tensor([1]))
    losses = reconstruct(MastSmall(), clips, torch.Generator().manual_seed(0))
    assert losses.total.item() == 0


@pytest.mark.slow
def test_the_recipe_writes_weights_and_goes_on_where_it_was(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "movie.tif", drifting(4), photometric="minisblack")
    recipe = recipe_in(tmp_path / "out", movies=(tmp_path / "movie.tif",))
    path = train(recipe)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["data"] == "movie.tif"
    assert card["steps"] > 0
    found = checkpoints.identify(path)
    assert (found.network, found.fits) == ("mast_small", True)
    assert path.stat().st_size < 6e6
    lines: list[str] = []
    train(recipe, report=lines.append)
    assert len([line for line in lines if line.startswith("continuing at step")]) == len(STAGES)
    assert train(recipe_in(tmp_path / "on", movies=recipe.movies, start_from=path)).is_file()


def test_other_weights_to_start_from_are_refused(tmp_path: Path) -> None:
    shipped = checkpoints.resolve(None, "compact")
    with pytest.raises(WeightsError, match="those of mast_small are wanted"):
        train(recipe_in(tmp_path, start_from=shipped))

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_vos import FrameStack
from napari_vos.configs import RandomWalkerConfig
from napari_vos.engines import create_interactor
from napari_vos.engines.random_walker import RandomWalker
from napari_vos.errors import NapariVosError, PromptError
from napari_vos.prompts import box_prompt, draw, point_prompt, scribble_prompt

SHAPE = (80, 100)
NOTHING = np.zeros(SHAPE, np.uint16)


def disc(row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.indices(SHAPE)
    return np.hypot(rows - row, columns - column) <= radius


TRUTH = np.where(disc(40, 30, 14), 3, np.where(disc(40, 62, 12), 9, 0)).astype(np.uint16)
"""Two bright cells, four pixels apart."""


@pytest.fixture(scope="module")
def walker() -> RandomWalker:
    noise = np.random.default_rng(0).normal(0, 0.05, (2, *SHAPE))
    frames = FrameStack((noise + (TRUTH > 0)).astype(np.float32), axes="TYX")
    return RandomWalker.create(frames)


def overlap(labels: np.ndarray, mask: np.ndarray, object_id: int = 3) -> float:
    return float(((labels == object_id) & mask).sum() / ((labels == object_id) | mask).sum())


@pytest.mark.parametrize(
    "prompt",
    [
        scribble_prompt(0, 3, [(34, 26), (44, 34)]),
        point_prompt(0, 3, (40, 30)),
        box_prompt(0, 3, (26, 16, 54, 44)),
    ],
)
def test_a_cell_from_one_prompt(walker, prompt) -> None:
    labels = walker.segment(draw([prompt], SHAPE), NOTHING)
    assert labels.dtype == np.uint16
    assert set(np.unique(labels)) == {0, 3}
    assert overlap(labels, TRUTH == 3) > 0.9


def test_cells_that_are_drawn_together(walker) -> None:
    drawing = draw([point_prompt(0, 3, (40, 30)), point_prompt(0, 9, (40, 62))], SHAPE)
    labels = walker.segment(drawing, NOTHING)
    assert overlap(labels, TRUTH == 3, 3) > 0.9
    assert overlap(labels, TRUTH == 9, 9) > 0.9


def test_only_what_is_drawn_is_returned_and_others_keep_their_pixels(walker) -> None:
    previous = np.where(disc(40, 60, 16), 9, 0).astype(np.uint16)
    labels = walker.segment(draw([point_prompt(0, 3, (40, 30))], SHAPE), previous)
    assert set(np.unique(labels)) == {0, 3}
    assert not (labels[previous > 0] == 3).any()


def test_a_previous_mask_is_corrected_where_strokes_contradict_it(walker) -> None:
    previous = np.where(disc(40, 30, 14) | disc(40, 62, 12), 3, 0).astype(np.uint16)
    removed = scribble_prompt(0, 3, [(36, 58), (44, 66)], positive=False)
    labels = walker.segment(draw([removed], SHAPE), previous)
    assert overlap(labels, TRUTH == 3) > 0.85
    half = np.where(disc(40, 30, 14) & (np.indices(SHAPE)[1] < 30), 3, 0).astype(np.uint16)
    added = scribble_prompt(0, 3, [(36, 38), (44, 38)])
    assert overlap(half, TRUTH == 3) < 0.6
    assert overlap(walker.segment(draw([added], SHAPE), half), TRUTH == 3) > 0.85


def test_a_correction_changes_nothing_far_away(walker) -> None:
    previous = np.where(disc(40, 30, 14) | disc(40, 62, 12), 3, 0).astype(np.uint16)
    stroke = scribble_prompt(0, 3, [(40, 74), (40, 78)])
    labels = walker.segment(draw([stroke], SHAPE), previous)
    left = np.s_[:, :45]
    assert overlap(labels[left], TRUTH[left] == 3) > 0.9


def test_the_box_is_never_left(walker) -> None:
    drawing = draw([box_prompt(0, 3, (30, 16, 54, 44)), point_prompt(0, 3, (40, 30))], SHAPE)
    rows = np.flatnonzero((walker.segment(drawing, NOTHING) == 3).any(axis=1))
    assert rows.min() >= 30


def test_large_windows_are_solved_on_coarser_pixels() -> None:
    truth = np.hypot(*(np.indices((300, 420)) - np.array([150, 200])[:, None, None])) <= 110
    walker = RandomWalker.create(FrameStack(truth[None].astype(np.float32), axes="TYX"))
    prompt = box_prompt(0, 3, (38, 88, 262, 312))
    labels = walker.segment(draw([prompt], truth.shape), np.zeros(truth.shape, np.uint16))
    assert overlap(labels, truth) > 0.95


def test_an_image_that_shows_nothing(walker) -> None:
    walker = RandomWalker.create(FrameStack(np.ones((2, *SHAPE)), axes="TYX", name="phase"))
    with pytest.raises(PromptError, match="Frame 0 of 'phase' is constant around object 3"):
        walker.segment(draw([point_prompt(0, 3, (40, 30))], SHAPE), NOTHING)


def test_it_is_the_same_each_time(walker) -> None:
    drawing = draw([point_prompt(0, 3, (40, 30))], SHAPE)
    assert np.array_equal(walker.segment(drawing, NOTHING), walker.segment(drawing, NOTHING))


def test_made_by_name(walker) -> None:
    made = create_interactor("random_walker", walker.frames, config=RandomWalkerConfig(beta=50))
    assert json.loads(json.dumps(dict(made.plan)))["config"] == {"beta": 50, "reach": 32}
    with pytest.raises(NapariVosError, match="'magic'; expected one of compact, random"):
        create_interactor("magic", walker.frames)

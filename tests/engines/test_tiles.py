from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from napari_vos.engines import tiles as tiles_module
from napari_vos.engines.base import FrameInstances
from napari_vos.engines.tiles import Tile, TiledDetections, cover

SHAPE = (100, 150)


@dataclass
class Seen:
    """Labels of a tile, and the same score for each of them unless said otherwise."""

    labels: np.ndarray
    scores: list[float]
    name: str = ""

    def instances(self, *, score: float, overlap: float, kind: int | None = None) -> FrameInstances:
        count = len(self.scores)
        scores = np.array(self.scores, np.float32)
        return FrameInstances(self.labels, scores, np.zeros(count, int), np.zeros((count, 4)))

    def combination(
        self, label: int, *, score: float, overlap: float, kind: int | None = None
    ) -> tuple[str, int]:
        return self.name, label


def look(truth: np.ndarray, side: int = 64, overlap: int = 16) -> TiledDetections:
    """Show each tile the truth, numbered in its own way."""
    tiles = cover((truth.shape[0], truth.shape[1]), side, overlap)
    seen = []
    for index, tile in enumerate(tiles):
        labels = np.zeros((side, side), np.uint16)
        view = truth[tile.within((truth.shape[0], truth.shape[1]))]
        ids, numbers = np.unique(view[view > 0], return_inverse=True)
        labels[: view.shape[0], : view.shape[1]][view > 0] = numbers + 1
        seen.append(Seen(labels, [0.9 - 0.01 * index] * len(ids), f"tile {index}"))
    return TiledDetections(tiles, tuple(seen), (truth.shape[0], truth.shape[1]))


@pytest.mark.parametrize("shape", [(100, 150), (64, 64), (65, 30), (1, 400)])
def test_tiles_cover_a_frame_and_overlap(shape: tuple[int, int]) -> None:
    tiles = cover(shape, 64, 16)
    seen = np.zeros(shape, int)
    for tile in tiles:
        seen[tile.within(shape)] += 1
    assert seen.all()
    rows = sorted({tile.top for tile in tiles})
    assert all(after - before <= 48 for before, after in pairwise(rows))
    assert max(tile.top for tile in tiles) <= max(0, shape[0] - 64)


def test_instances_are_merged_across_seams() -> None:
    truth = np.zeros(SHAPE, np.uint16)
    truth[40:60, 5:145] = 1  # longer than a tile
    truth[5:15, 55:70] = 2  # whole on one tile, cut on the other
    truth[20:30, 10:20] = 3
    truth[70:80, 49:61] = 4  # on what tiles share
    truth[80:90, 49:61] = 5  # and one that touches it
    found = look(truth).instances(score=0.3, overlap=0.5)
    assert len(found.scores) == 5
    for label in range(1, 6):
        (number,) = np.unique(found.labels[truth == label])
        assert ((found.labels == number) == (truth == label)).all()
        rows, columns = np.nonzero(truth == label)
        box = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
        assert found.boxes[number - 1].tolist() == box
    assert (np.diff(found.scores) <= 0).all()
    assert found.scores[0] == pytest.approx(0.9)


def test_a_part_is_left_to_the_tile_that_shows_more() -> None:
    tiles = Tile(0, 0, 64), Tile(0, 48, 64)
    cut, whole = np.zeros((64, 64), np.uint16), np.zeros((64, 64), np.uint16)
    cut[10:13, 59:64] = 1  # far too little of it, but very certain
    whole[5:25, 10:30] = 1
    seen = Seen(cut, [0.95]), Seen(whole, [0.5])
    found = TiledDetections(tiles, seen, (64, 112)).instances(score=0.3, overlap=0.5)
    assert found.scores.tolist() == [0.5]
    assert (found.labels == 1).sum() == 400


def test_only_tiles_that_lie_together_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = np.zeros((400, 400), np.uint16)
    truth[100:120, 3:397] = 1
    raw = look(truth, side=32, overlap=8)
    compared: list[tuple[Tile, Tile]] = []
    share = tiles_module._shared

    def shared(one: Tile, other: Tile) -> tuple[slice, slice] | None:
        compared.append((one, other))
        return share(one, other)

    monkeypatch.setattr(tiles_module, "_shared", shared)
    found = raw.instances(score=0.3, overlap=0.5)
    assert np.array_equal(found.labels, truth)
    assert len(raw.tiles) == 17**2
    assert len(compared) <= 12 * len(raw.tiles)


def test_two_readings_of_one_place_are_one_instance() -> None:
    tiles = Tile(0, 0, 64), Tile(0, 32, 64)
    left, right = np.zeros((64, 64), np.uint16), np.zeros((64, 64), np.uint16)
    left[10:30, 40:56] = 1
    right[14:26, 10:22] = 1  # IoU below a half, but within the other
    seen = Seen(left, [0.9]), Seen(right, [0.8])
    found = TiledDetections(tiles, seen, (64, 96)).instances(score=0.3, overlap=0.5)
    assert found.scores.tolist() == pytest.approx([0.9])


def test_nothing() -> None:
    found = look(np.zeros(SHAPE, np.uint16)).instances(score=0.3, overlap=0.5)
    assert not found.labels.any()
    assert found.boxes.shape == (0, 4)


def test_instances_beyond_the_frame_are_none() -> None:
    labels = np.zeros((64, 64), np.uint16)
    labels[50:60, 5:20], labels[5:10, 5:10] = 1, 2
    seen = (Seen(labels, [0.9, 0.8]),)
    found = TiledDetections((Tile(0, 0, 64),), seen, (40, 64)).instances(score=0.3, overlap=0.5)
    assert found.scores.tolist() == pytest.approx([0.8])
    assert (found.labels == 1).sum() == 25


def test_a_mask_is_explained_by_the_tile_that_is_most_certain_of_it() -> None:
    truth = np.zeros(SHAPE, np.uint16)
    truth[5:15, 5:15] = 8
    truth[40:60, 5:145] = 4
    raw = look(truth)
    found = raw.instances(score=0.3, overlap=0.5)
    for label in found.labels[10, 10], found.labels[50, 100]:
        assert raw.combination(int(label), score=0.3, overlap=0.5)[0] == "tile 0"
    numbers = {raw.combination(label, score=0.3, overlap=0.5)[1] for label in (1, 2)}
    assert numbers == {1, 2}


def test_crumbs_of_a_mask_are_left_out() -> None:
    truth = np.zeros(SHAPE, np.uint16)
    truth[5:25, 5:25] = 1
    truth[30:32, 30:32] = 1
    found = look(truth).instances(score=0.3, overlap=0.5)
    assert np.argwhere(found.labels).max() == 24
    assert (found.labels > 0).sum() == 400
    # What a better instance cuts in two keeps its larger half.
    cut = np.zeros((2, *SHAPE), np.uint16)
    cut[0, 5:45, 20:24] = 1
    cut[1, 20:24, 5:45] = 1
    tile = Tile(0, 0, 150)
    seen = [Seen(labels, [score]) for labels, score in zip(cut, (0.9, 0.8), strict=True)]
    two = TiledDetections((tile, tile), tuple(seen), SHAPE).instances(score=0.3, overlap=0.5)
    assert (two.labels == 1).sum() == 160
    assert (two.labels == 2).sum() == 21 * 4

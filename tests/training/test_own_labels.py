"""What annotated frames say, and what of them is held out."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vos import FrameStack
from napari_vos.engines.base import FrameInstances
from napari_vos.errors import FramesError
from napari_vos.training.fields import UNKNOWN
from napari_vos.training.own_labels import AnnotatedFrames, forget, gather, separate


def painted(*boxes: tuple[int, int, int, int, int], shape: tuple[int, int] = (40, 60)):
    """Labels with squares: label, first row and column, height and width."""
    labels = np.zeros(shape, np.uint16)
    for label, row, column, height, width in boxes:
        labels[row : row + height, column : column + width] = label
    return labels


def movie(*frames: np.ndarray) -> tuple[FrameStack, np.ndarray]:
    labels = np.stack(frames)
    return FrameStack((1000 * (labels > 0)).astype(np.uint16), name="cells.tif"), labels


TWO = painted((1, 5, 5, 8, 8), (2, 5, 13, 8, 8))
NONE = painted()


class Finder:
    """Finds what it was told."""

    plan: dict[str, object] = {}  # noqa: RUF012

    def __init__(self, labels: np.ndarray) -> None:
        self.labels = labels

    def detect(self, t: int) -> Finder:
        return self

    @property
    def nbytes(self) -> int:
        return 0

    def instances(self, *, score: float, overlap: float) -> FrameInstances:
        nothing = np.zeros(0)
        return FrameInstances(self.labels, nothing, nothing, nothing)


def test_painted_frames_are_taken_and_touching_cells_stay_two() -> None:
    known = gather(*movie(NONE, TWO, NONE, TWO))
    assert known.filled == [1, 3]
    assert np.unique(known.labels(1)).tolist() == [0, 1, 2]
    assert known.diameter == pytest.approx(2 * np.sqrt(64 / np.pi))
    chosen = gather(*movie(NONE, TWO, NONE, TWO), annotated=[3])
    assert chosen.filled == [3]


def test_what_has_no_mask_is_unknown_on_incomplete_frames_and_where_it_is_ignored() -> None:
    frames, labels = movie(TWO, TWO, TWO)
    ignored = np.zeros(labels.shape, np.uint8)
    ignored[2, :, 13:] = 1
    known = gather(frames, labels, incomplete={1}, ignored=ignored)
    np.testing.assert_array_equal(known.labels(0), TWO)
    np.testing.assert_array_equal(known.labels(1), np.where(TWO > 0, TWO.astype(int), UNKNOWN))
    assert (known.labels(2)[:, 13:] == UNKNOWN).all()
    assert set(np.unique(known.labels(2)[:, :13])) == {0, 1}


def test_pieces_of_one_label_are_cells_of_their_own_and_crumbs_are_not_judged() -> None:
    labels = painted((7, 2, 2, 8, 8), (7, 20, 20, 6, 6), (7, 30, 50, 2, 2), (9, 2, 40, 1, 2))
    pieces = separate(labels)
    assert len(np.unique(pieces[pieces > 0])) == 3  # label 9 is small, but all there is of it
    assert (pieces[30:32, 50:52] == UNKNOWN).all()
    assert pieces[5, 5] != pieces[22, 22]


def test_how_large_and_how_long_cells_are() -> None:
    frames, labels = movie(painted((1, 5, 5, 8, 8)), painted((1, 5, 5, 20, 8), (2, 30, 10, 8, 40)))
    labels[1, 39, 59] = 7
    known = gather(frames, labels)
    assert known.length == 14
    assert known.diameter == pytest.approx(2 * np.sqrt((64 + 160) / 2 / np.pi))


@pytest.mark.parametrize(
    ("count", "share", "held"), [(2, 0.2, [1]), (5, 0.2, [4]), (5, 0.5, [3, 4]), (5, 1.0, 4)]
)
def test_the_last_frames_are_held_out(count: int, share: float, held: list[int] | int) -> None:
    learned, judged = gather(*movie(*[TWO] * count)).hold_out(share)
    expected = list(range(1, 5)) if held == 4 else held
    assert judged.filled == expected
    assert learned.filled == [t for t in range(count) if t not in expected]


def test_few_of_many_held_out_frames_are_judged() -> None:
    learned, judged = gather(*movie(*[TWO] * 40)).hold_out(0.5)
    assert learned.filled == list(range(20))
    assert judged.filled == [20, 26, 32, 39]


def test_of_a_single_frame_one_end_is_held_out() -> None:
    one = painted((1, 5, 5, 8, 8), (2, 5, 20, 8, 8), (3, 5, 45, 8, 8))
    learned, judged = gather(*movie(one)).hold_out(0.2)
    left, right = learned.labels(0), judged.labels(0)
    assert set(np.unique(left)) == {UNKNOWN, 0, 1, 2}
    assert set(np.unique(right)) == {UNKNOWN, 0, 3}
    assert ((left == UNKNOWN) ^ (right == UNKNOWN)).all()
    assert judged.score(Finder(one), score=0.3, overlap=0.5).ap50 == 1


def test_what_is_found_where_nothing_is_known_costs_nothing() -> None:
    frames, labels = movie(TWO)
    found = painted((1, 5, 5, 8, 8), (2, 5, 13, 8, 8), (3, 30, 30, 5, 5))
    for incomplete, ap50 in (((), 2 / 3), ((0,), 1)):
        known = gather(frames, labels, incomplete=incomplete)
        assert known.score(Finder(found), score=0.3, overlap=0.5).ap50 == pytest.approx(ap50)
    missed = gather(frames, labels, incomplete=(0,))
    assert missed.score(Finder(NONE), score=0.3, overlap=0.5).ap50 == 0


def test_half_known_instances_are_kept() -> None:
    unknown = np.zeros((40, 60), bool)
    unknown[:, 30:] = True
    found = painted((1, 0, 26, 4, 8), (2, 10, 27, 4, 8))
    assert np.unique(forget(found, unknown)).tolist() == [0, 1]


def test_what_cannot_be_learned_from_is_refused() -> None:
    frames, labels = movie(NONE, TWO)
    with pytest.raises(FramesError, match=r"labels have shape \(2, 20, 60\).*\(2, 40, 60\)"):
        gather(frames, labels[:, :20])
    with pytest.raises(FramesError, match=r"regions to ignore have shape \(1, 40, 60\)"):
        gather(frames, labels, ignored=labels[:1])
    with pytest.raises(FramesError, match="labels are empty"):
        gather(frames, 0 * labels)
    with pytest.raises(FramesError, match="labels of frame 0 are empty"):
        gather(frames, labels, annotated=[0, 1])
    with pytest.raises(FramesError, match=r"Frame 2 is outside 'cells.tif'; expected 0 to 1"):
        gather(frames, labels, annotated=[2])
    with pytest.raises(FramesError, match="float64 numbers; expected integer labels"):
        gather(frames, labels.astype(float))
    with pytest.raises(FramesError, match="holds a single cell"):
        gather(*movie(painted((1, 5, 5, 8, 8)))).hold_out(0.2)
    assert isinstance(gather(frames, labels), AnnotatedFrames)

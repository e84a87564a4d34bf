from __future__ import annotations

import numpy as np
import pytest

from napari_vos.errors import FramesError
from napari_vos.metrics import evaluate_instances
from napari_vos.metrics.instances import THRESHOLDS, find_overlaps


def stack(*frames: dict[int, tuple[slice, slice]]) -> np.ndarray:
    labels = np.zeros((len(frames), 20, 30), np.uint16)
    for frame, boxes in zip(labels, frames, strict=True):
        for label, box in boxes.items():
            frame[box] = label
    return labels


TEN = slice(0, 10)
TRUTH = stack({3: (TEN, TEN), 8: (TEN, slice(15, 25))}, {}, {5: (slice(10, 20), TEN)})
RESULT = stack(
    # IoU 80 / 100; 40 / 100, less than half is covered; and one that isn't there.
    {1: (slice(0, 8), TEN), 2: (slice(0, 4), slice(15, 25)), 9: (slice(15, 20), TEN)},
    {1: (TEN, TEN)},
    # IoU 100 / 150, all of it is covered.
    {700: (slice(5, 20), TEN)},
)


def test_all_pairs_are_compared() -> None:
    overlaps = find_overlaps(RESULT[0], TRUTH[0])
    assert overlaps.first.tolist() == [1, 2]
    assert overlaps.second.tolist() == [3, 8]
    assert overlaps.iou.tolist() == [0.8, 0.4]
    assert overlaps.share.tolist() == [0.8, 0.4]


def test_figures_counted_by_hand() -> None:
    scores = evaluate_instances(RESULT, TRUTH)
    # Three true ones, four found on frames 0 and 2, of which two overlap more than half.
    assert scores.ap50 == pytest.approx(2 / (3 + 4 - 2))
    at = dict(zip(THRESHOLDS, scores.precisions, strict=True))
    assert at[0.65] == pytest.approx(2 / 5)
    assert at[0.7] == at[0.75] == pytest.approx(1 / 6)
    assert at[0.8] == 0
    assert scores.ap == pytest.approx((4 * 2 / 5 + 2 / 6) / 10)
    assert scores.recall == pytest.approx(2 / 3)
    assert scores.seg == pytest.approx((0.8 + 0 + 100 / 150) / 3)


def test_what_has_no_mask_is_not_wrong_where_masks_may_be_missing() -> None:
    scores = evaluate_instances(RESULT, TRUTH, complete_frames={2})
    assert scores.ap50 == 1
    assert scores.recall == pytest.approx(2 / 3)
    assert scores.summary()["n_complete_frames"] == 1
    nowhere = evaluate_instances(RESULT, TRUTH, complete_frames=()).summary()
    assert nowhere["AP50"] is None
    assert nowhere["SEG"] == scores.seg
    # A frame that is complete and empty: all that was found there is wrong.
    scores = evaluate_instances(RESULT, TRUTH, complete_frames={1, 2})
    assert scores.ap50 == pytest.approx(1 / 2)


def test_some_frames() -> None:
    assert evaluate_instances(RESULT, TRUTH, frames=range(2, 3)).seg == pytest.approx(2 / 3)
    with pytest.raises(FramesError, match="empty on the chosen frames"):
        evaluate_instances(RESULT, TRUTH, frames=range(1, 2))
    with pytest.raises(FramesError, match="no part of the truth's frames"):
        evaluate_instances(RESULT, TRUTH, frames=range(2, 4))
    with pytest.raises(FramesError, match=r"\(2, 20, 30\)"):
        evaluate_instances(RESULT[:2], TRUTH)


def test_the_same_labels_are_perfect() -> None:
    scores = evaluate_instances(TRUTH * 2, TRUTH)
    assert (scores.ap, scores.recall, scores.seg) == (1, 1, 1)

from __future__ import annotations

import numpy as np
import pytest

from napari_vos.errors import FramesError
from napari_vos.metrics import boundary_accuracy, evaluate, region_similarity

SHAPE = (30, 40)


def frame(**columns):
    """Labels with 4 x 4 blocks in row 5: o7=3 is object 7 from column 3 on."""
    labels = np.zeros(SHAPE, np.uint16)
    for name, left in columns.items():
        labels[5:9, left : left + 4] = int(name[1:])
    return labels


def test_means_by_hand():
    truth = np.stack([frame(o1=2, o2=20), frame(o1=2, o2=20), frame(o1=2), frame(o1=2)])
    result = np.stack([frame(), frame(o1=3, o2=20), frame(o1=4), frame(o2=20)])
    scores = evaluate(result, truth, prompts={0: truth[0]})
    # Object 1: three of five columns shared, then two of six, then none. Object 2: once.
    assert [(p.t, p.object_id) for p in scores.pairs] == [(1, 1), (1, 2), (2, 1), (3, 1)]
    assert scores.by_object[1].j == pytest.approx((3 / 5 + 2 / 6 + 0) / 3)
    assert scores.by_object[1].n_pairs == 3
    assert scores.j == pytest.approx((scores.by_object[1].j + 1) / 2)
    assert scores.by_frame[1].j == pytest.approx((3 / 5 + 1) / 2)
    assert scores.jf == pytest.approx((scores.j + scores.f) / 2)


def test_pairs_agree_with_whole_frames():
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 6, (2, 3, 8, 10)).astype(np.uint16)
    result, truth = np.kron(coarse, np.ones((1, 1, 6, 6), np.uint16))
    scores = evaluate(result, truth)
    assert len(scores.pairs) > 10
    for pair in scores.pairs:
        ours, theirs = result[pair.t] == pair.object_id, truth[pair.t] == pair.object_id
        assert pair.j == pytest.approx(region_similarity(ours, theirs))
        assert pair.f == pytest.approx(boundary_accuracy(ours, theirs))


def test_ghosts_by_hand():
    # Object 2 ends after frame 1; object 3 is out of view on frame 2 and comes back.
    truth = np.stack(
        [
            frame(o1=2, o2=12, o3=22),
            frame(o1=2, o2=12, o3=22),
            frame(o1=2),
            frame(o1=2, o3=22),
        ]
    )
    result = np.stack([truth[0]] * 4)
    scores = evaluate(result, truth, prompts={0: truth[0]})
    assert (scores.n_held, scores.n_ended, scores.n_ghosts) == (9, 2, 2)
    assert scores.ghosts == pytest.approx(2 / 9)
    # Within frames 0 to 2 object 3 has still not ended.
    scores = evaluate(result, truth, prompts={0: truth[0]}, frames=range(3))
    assert scores.ghosts == pytest.approx(1 / 6)
    scores = evaluate(result, truth, prompts={0: truth[0]}, complete_frames=[0, 1])
    assert (scores.n_held, scores.ghosts) == (3, 0)


def test_frames_without_annotation_count_for_nothing():
    truth = np.stack([frame(o1=2), frame(), frame(o1=2)])
    result = np.stack([frame(o1=2), frame(o1=30), frame(o1=2)])
    scores = evaluate(result, truth, prompts={0: truth[0]})
    assert scores.j == 1
    assert scores.n_held == 1


def test_objects_that_were_not_prompted():
    truth = np.stack([frame(o1=2), frame(o1=2, o2=20)])
    result = np.stack([frame(o1=2), frame(o1=2)])
    assert evaluate(result, truth, prompts={0: truth[0]}).j == 1
    assert evaluate(result, truth, prompts={0: truth[0]}, all_objects=True).j == 0.5


def test_summary_has_the_figures():
    truth = np.stack([frame(o1=2), frame(o1=2)])
    summary = evaluate(truth, truth, prompts={0: truth[0]}).summary()
    assert (summary["J"], summary["F"], summary["J&F"], summary["ghosts"]) == (1, 1, 1, 0)
    assert summary["objects"] == {"1": {"j": 1, "f": 1, "n_pairs": 1}}


def test_what_cannot_be_scored():
    truth = np.stack([frame(o1=2), frame(o1=2)])
    with pytest.raises(FramesError, match="same frames"):
        evaluate(truth[:1], truth)
    with pytest.raises(FramesError, match="frames 0 to 1"):
        evaluate(truth, truth, frames=range(3))
    with pytest.raises(FramesError, match="nothing to score"):
        evaluate(truth, truth, prompts={0: frame(o9=2)})

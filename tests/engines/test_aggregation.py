import numpy as np
import pytest

from napari_vos.engines.aggregation import SMALLEST, aggregate
from napari_vos.store.evidence import Box, ObjectEvidence, Source

SHAPE = (12, 14)
ROUNDING = {"atol": 2e-3, "rtol": 2e-3}


def evidence(object_id: int, box: Box, seed: int | None = None) -> ObjectEvidence:
    probability = np.random.default_rng(seed or object_id).uniform(0.05, 0.95, box.shape)
    return ObjectEvidence(object_id, box, probability.astype(np.float16), 0.8, Source.PROPAGATED)


def on_frame(item: ObjectEvidence) -> np.ndarray:
    frame = np.zeros(SHAPE)
    frame[item.box.slices] = item.probability
    return frame


def dense_reference(items: list[ObjectEvidence]) -> np.ndarray:
    """Softmax of log-odds over background (first) and objects at all pixels."""
    probability = np.clip([on_frame(item) for item in items], SMALLEST, 1 - SMALLEST)
    alone = np.clip([on_frame(item) for item in items], 0, 1 - SMALLEST)
    background = np.clip((1 - alone).prod(axis=0), 1e-7, 1 - SMALLEST)
    odds = np.concatenate([[background / (1 - background)], probability / (1 - probability)])
    for index, item in enumerate(items):
        outside = np.ones(SHAPE, bool)
        outside[item.box.slices] = False
        odds[index + 1][outside] = 0
    return odds / odds.sum(axis=0)


def test_one_object_competes_with_its_complement() -> None:
    item = evidence(3, Box(2, 1, 9, 8))
    (result,) = aggregate([item], [], SHAPE)
    p = item.probability.astype(float)
    np.testing.assert_allclose(result.probability, p**2 / (p**2 + (1 - p) ** 2), **ROUNDING)
    assert result.probability.dtype == np.float16
    assert (result.object_id, result.box, result.confidence) == (3, item.box, 0.8)


def test_overlapping_objects_agree_with_a_dense_softmax() -> None:
    items = [evidence(1, Box(1, 1, 8, 8)), evidence(2, Box(4, 3, 12, 14))]
    expected = dense_reference(items)
    for index, result in enumerate(aggregate(items, [], SHAPE)):
        np.testing.assert_allclose(
            result.probability, expected[index + 1][result.box.slices], **ROUNDING
        )


def test_objects_and_background_sum_to_one() -> None:
    items = [evidence(i, Box(0, 0, *SHAPE)) for i in (1, 2, 3)]
    results = aggregate(items, [], SHAPE)
    total = dense_reference(items)[0] + sum(on_frame(result) for result in results)
    np.testing.assert_allclose(total, 1, atol=3e-3)


def test_frozen_objects_count_and_stay() -> None:
    moving, frozen = evidence(1, Box(1, 1, 8, 8)), evidence(2, Box(4, 3, 12, 14))
    kept = frozen.probability.copy()
    (result,) = aggregate([moving], [frozen], SHAPE)
    (together, _) = aggregate([moving, frozen], [], SHAPE)
    np.testing.assert_array_equal(result.probability, together.probability)
    np.testing.assert_array_equal(frozen.probability, kept)
    (alone,) = aggregate([moving], [], SHAPE)
    assert (alone.probability > result.probability).any()


def test_objects_far_apart_do_not_touch_each_other() -> None:
    near, far = evidence(1, Box(0, 0, 4, 4)), evidence(2, Box(8, 8, 12, 14))
    (alone,) = aggregate([near], [], SHAPE)
    np.testing.assert_array_equal(
        aggregate([near, far], [], SHAPE)[0].probability, alone.probability
    )


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_certainty_stays_finite(value: float) -> None:
    box = Box(0, 0, 3, 3)
    item = ObjectEvidence(1, box, np.full(box.shape, value, np.float16), 1.0, Source.USER)
    (result,) = aggregate([item], [], SHAPE)
    np.testing.assert_allclose(result.probability, value, atol=1e-3)


def test_nothing_aggregates_to_nothing() -> None:
    assert aggregate([], [], SHAPE) == ()

from itertools import pairwise

import numpy as np
import pytest

from napari_vos.engines.tracks import Outline, Track, outline_of, pack, unpack
from napari_vos.store.evidence import Box, ObjectEvidence, Source


def evidence(box: Box, probability: float) -> ObjectEvidence:
    return ObjectEvidence(
        4, box, np.full(box.shape, probability, np.float16), 1.0, Source.PROPAGATED
    )


def test_an_outline_measures_the_pixels_more_probable_than_not() -> None:
    item = evidence(Box(10, 20, 20, 40), 0.2)
    item.probability[2:5, 4:10] = 0.9
    outline = outline_of(item, (64, 64))
    assert outline == Outline((13.0, 26.5), 6.0, 18, contact=0)


def test_an_improbable_object_has_no_outline() -> None:
    assert outline_of(evidence(Box(0, 0, 5, 5), 0.4), (64, 64)) is None


@pytest.mark.parametrize(
    ("box", "touches"),
    [
        (Box(0, 5, 4, 9), True),
        (Box(5, 0, 9, 4), True),
        (Box(5, 26, 9, 30), True),
        (Box(16, 5, 20, 9), True),
        (Box(1, 1, 19, 29), False),
    ],
)
def test_an_outline_knows_the_border(box: Box, touches: bool) -> None:
    outline = outline_of(evidence(box, 0.9), (20, 30))
    assert outline is not None
    assert outline.contact == (4 if touches else 0)


def test_a_track_follows_steady_motion() -> None:
    outlines = [Outline((3.0 * i, -1.0 * i), 10.0, 80, 0) for i in range(12)]
    track = Track.start(outlines[0])
    assert track.velocity.tolist() == [0, 0]
    for before, now in pairwise(outlines):
        track.follow(before, now)
    np.testing.assert_allclose(track.velocity, [3, -1], atol=0.01)
    assert track.extent == pytest.approx(10)


def test_the_state_comes_back_exactly() -> None:
    tracks = {9: Track(np.array([0.1, -2.3]), 12.7, 0.7), 2: Track(np.array([1 / 3, 0.0]), 4.0)}
    again, kept, batch_size = unpack(pack(tracks, [5, 10], 16))
    assert list(again) == [9, 2]
    assert (kept, batch_size) == ([5, 10], 16)
    for object_id, track in tracks.items():
        np.testing.assert_array_equal(again[object_id].velocity, track.velocity)
        assert again[object_id].extent == track.extent
        assert again[object_id].growth == track.growth


def test_the_state_of_no_object_comes_back() -> None:
    assert unpack(pack({}, [], 4)) == ({}, [], 4)


@pytest.mark.parametrize(
    ("outline", "compact"),
    [
        (Outline((20, 20), 20, 300, contact=0), True),
        (Outline((20, 20), 20, 300, contact=8), True),
        (Outline((20, 20), 20, 300, contact=15), False),  # leaving the frame
        (Outline((20, 20), 40, 300, contact=0), False),  # spindly
    ],
)
def test_what_is_spindly_or_cut_off_is_not_compact(outline: Outline, compact: bool) -> None:
    assert outline.is_compact is compact

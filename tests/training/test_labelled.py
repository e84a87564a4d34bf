from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_vos import FrameStack
from napari_vos.engines.mivos_frames import normalized_image
from napari_vos.errors import FramesError
from napari_vos.training import labelled
from napari_vos.training.labelled import ClipStream, cut_clip, gather_labelled
from napari_vos.training.mivos import MivosTraining


def movie(n_frames: int = 40) -> tuple[FrameStack, np.ndarray]:
    """Two squares of 60 pixels that drift to the right, in noise, and the labels of all frames."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (n_frames, 96, 160, 3), dtype=np.uint8)
    labels = np.zeros(images.shape[:3], np.uint16)
    for t in range(n_frames):
        labels[t, 20:80, 5 + t : 50 + t], labels[t, 20:80, 60 + t : 110 + t] = 3, 70
    images[labels > 0] += 100
    return FrameStack(images, axes="TYXS", name="movie.tif"), labels


def only(labels: np.ndarray, *times: int) -> np.ndarray:
    kept = np.zeros_like(labels)
    kept[list(times)] = labels[list(times)]
    return kept


def test_the_labelled_frames_are_read_as_the_engine_sees_them():
    frames, labels = movie()
    known = gather_labelled(frames, only(labels, 0, 4, 30))
    assert known.times == (0, 4, 30)
    np.testing.assert_array_equal(known.labels, labels[[0, 4, 30]])
    for index, t in enumerate(known.times):
        seen = normalized_image(frames, t)[0]
        torch.testing.assert_close(torch.from_numpy(known.images[index]), seen.half())
    assert known.scale == 1


def test_far_frames_are_taken_where_there_is_no_nearer_one():
    frames, labels = movie()
    far = ((0, 1, 1), (0, 1, 2), (1, 2, 2))
    assert gather_labelled(frames, only(labels, 0, 4, 30)).clips == far
    near = ((0, 1, 1), (0, 1, 2), (0, 2, 2), (1, 2, 2))
    assert gather_labelled(frames, only(labels, 0, 4, 20)).clips == near


def test_an_object_is_on_all_frames_of_a_clip():
    frames, labels = movie()
    mixed = only(labels, 0, 4, 8)
    mixed[4][mixed[4] > 0] = 9
    assert gather_labelled(frames, mixed).clips == ((0, 2, 2),)
    mixed[4], mixed[8] = labels[4], np.where(labels[8] == 3, 3, 0)
    mixed[4][mixed[4] == 3] = 0
    assert gather_labelled(frames, mixed).clips == ((0, 1, 1), (0, 2, 2))


def test_small_objects_are_enlarged_as_by_the_engine():
    frames, labels = movie()
    small = np.zeros_like(labels)
    small[[0, 1], 10:26, 10:26] = 1
    assert gather_labelled(frames, small).scale == 3


def test_many_labelled_frames_are_thinned_out_evenly(monkeypatch):
    frames, labels = movie()
    monkeypatch.setattr(labelled, "MOST_BYTES", 5 * 6 * 96 * 160)
    assert gather_labelled(frames, labels).times == (0, 9, 19, 29, 39)


def test_the_fingerprint_tells_labels_apart():
    frames, labels = movie()
    changed = labels.copy()
    changed[4, 30, 20] = 0
    one, same, other = (
        gather_labelled(frames, only(each, 0, 4)).fingerprint for each in (labels, labels, changed)
    )
    assert one == same != other


def test_a_clip_shows_its_objects_in_all_of_its_frames():
    frames, labels = movie()
    known = gather_labelled(frames, only(labels, 0, 3, 6, 9))
    counts = set()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        images, found, times = cut_clip(rng, known, (0, 1, 3), side=96)
        assert images.shape == (1, 3, 3, 96, 96)
        assert found.shape == (1, 3, 96, 96)
        assert times.tolist() == [[0, 3, 9]]
        n_objects = int(found.max())
        counts.add(n_objects)
        assert set(found[0, 0].unique().tolist()) >= set(range(1, n_objects + 1))
        for plane, shown in zip(found[0], images[0, :, 0], strict=True):
            assert shown[plane > 0].mean() > shown[plane == 0].mean() + 0.5
    assert counts <= {1, 2}
    assert 2 in counts


def test_an_object_that_a_frame_lacks_is_not_followed_there():
    frames, labels = movie()
    given = only(labels, 0, 3, 6)
    given[3][given[3] == 3] = 0
    known = gather_labelled(frames, given)
    for seed in range(5):
        _, found, _ = cut_clip(np.random.default_rng(seed), known, (0, 1, 2), side=96)
        assert int(found.max()) == 1


def test_batches_go_both_ways_and_begin_with_a_frame_of_their_own(tmp_path):
    frames, labels = movie()
    known = gather_labelled(frames, only(labels, 0, 3, 6))
    recipe = MivosTraining(tmp_path, tmp_path, batch_size=30, crop=48)
    stream = ClipStream(known, known.clips, recipe, 0)
    images, _, times = stream.batch(np.random.default_rng(0))
    assert images.shape == (30, 3, 3, 48, 48)
    ways = {tuple(each) for each in times.tolist()}
    there = {(0, 3, 3), (0, 3, 6), (0, 6, 6), (3, 6, 6)}
    assert ways == there | {(3, 0, 0), (6, 3, 0), (6, 0, 0), (6, 3, 3)}
    wide = MivosTraining(tmp_path, tmp_path)
    assert ClipStream(known, known.clips, wide, 0).side == 160


def test_objects_as_thin_as_a_pixel_are_in_every_clip():
    frames, labels = movie()
    thin = np.zeros_like(labels)
    thin[[0, 3], 10, 20:90] = 1
    known = gather_labelled(frames, thin)
    for seed in range(10):
        _, found, _ = cut_clip(np.random.default_rng(seed), known, (0, 1, 1), side=32)
        assert int(found[0, 0].max()) == 1


@pytest.mark.parametrize(
    ("times", "message"),
    [((), "0 of the frames of 'movie.tif' have labels"), ((7,), "1 of the frames")],
)
def test_too_few_labelled_frames_are_refused(times, message):
    frames, labels = movie()
    with pytest.raises(FramesError, match=message):
        gather_labelled(frames, only(labels, *times))


def test_frames_without_a_shared_object_are_refused():
    frames, labels = movie()
    given = only(labels, 0, 3)
    given[3][given[3] > 0] += 100
    with pytest.raises(FramesError, match="No object of 25 pixels or more is on two"):
        gather_labelled(frames, given)
    tiny = np.zeros_like(labels)
    tiny[[0, 3], :4, :4] = 1
    with pytest.raises(FramesError, match="the same label on all frames"):
        gather_labelled(frames, tiny)


def test_labels_of_other_images_are_refused():
    frames, labels = movie()
    with pytest.raises(FramesError, match=r"shape \(40, 96, 100\) and the images 'movie.tif'"):
        gather_labelled(frames, labels[:, :, :100])

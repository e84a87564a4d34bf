"""What a session is told that can't be used, and images at the edge of what can."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vos import FrameStack
from napari_vos.errors import FramesError, PromptError
from napari_vos.session import Session

SHAPE = (24, 40)


def filled(value, dtype=np.int64):
    return np.full(SHAPE, value, dtype)


@pytest.mark.parametrize(
    ("t", "labels", "told"),
    [
        (0, filled(0), "frame 0 is empty"),
        (0, filled(70_000), "70000; the largest one possible is 65535"),
        (0, filled(-1), "negative label -1"),
        (0, filled(1.5, np.float32), r"fractions or NaN .float32"),
        (0, filled(np.nan, np.float64), r"fractions or NaN .float64"),
        (0, np.ones((3, *SHAPE), int), r"shape .3, 24, 40.; expected one frame"),
        (0, np.ones((24, 41), int), r"shape .24, 41.; the frames of 'phase' have .24, 40."),
        (-1, filled(1), r"Frame -1 is outside the stack 'phase' .0-11."),
        (12, filled(1), r"Frame 12 is outside the stack 'phase' .0-11."),
    ],
)
def test_masks_that_cannot_be_used(session, blocks, t, labels, told):
    session.add_mask(0, blocks(o1=(2, 2)))
    with pytest.raises(PromptError, match=told):
        session.add_mask(t, labels)
    assert session.object_ids == (1,)
    assert np.array_equal(session.labels[0], blocks(o1=(2, 2)))


@pytest.mark.parametrize(
    "labels", [filled(65535, np.uint16), filled(7.0, np.float32), filled(True, bool)]
)
def test_masks_that_are_labels_all_the_same(session, labels):
    session.add_mask(0, labels)
    assert np.array_equal(session.labels[0], labels)


@pytest.mark.parametrize("n_pixels", [1, 24 * 40])
def test_the_smallest_and_the_largest_object(session, n_pixels):
    labels = filled(0)
    labels.ravel()[:n_pixels] = 5
    session.add_mask(0, labels)
    assert len(list(session.propagate())) == 11
    assert session.probability(0, 5)[0].size == n_pixels


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 3.5])
def test_images_without_content_are_propagated_with_a_warning(factory, blocks, value):
    factory.look = lambda frames, t: frames.normalized(t).any() and pytest.fail("content")
    with Session(FrameStack(np.full((5, *SHAPE), value), name="phase")) as session:
        heard = []
        session.warned.connect(heard.append)
        session.add_mask(0, blocks(o1=(2, 2)))
        assert len(list(session.propagate())) == 4
    assert ["'phase' are constant" in line for line in heard] == [True]


def test_a_frame_that_cannot_be_read_keeps_those_before(factory, blocks):
    class Fading(np.ndarray):
        gone = False

        def __getitem__(self, index):
            if self.gone and index[0] == 5:
                raise OSError("the disk is gone")
            return np.asarray(super().__getitem__(index))

    images = np.random.default_rng(0).random((12, *SHAPE)).view(Fading)
    factory.look = lambda frames, t: frames.read(t)
    with Session(FrameStack(images, name="phase", cache_bytes=0)) as session:
        session.add_mask(0, blocks(o1=(2, 2)))
        images.gone = True
        with pytest.raises(FramesError, match="Can't read frame 5 of 'phase': the disk is gone"):
            session.run()
        assert {t for t, _ in session.confidence} == {0, 1, 2, 3, 4}
        images.gone = False
        assert [result.t for result in session.resume()] == list(range(5, 12))

from __future__ import annotations

import numpy as np
import pytest

from napari_vos.errors import PromptError
from napari_vos.prompts import draw, painted_scribbles


def test_strokes_cover_what_was_painted() -> None:
    labels = np.random.default_rng(0).choice([0, 3, 70], (20, 30), p=[0.5, 0.3, 0.2])
    prompts = painted_scribbles(4, labels)
    assert [(prompt.t, prompt.object_id, prompt.positive) for prompt in prompts] == [
        (4, 3, True),
        (4, 70, True),
    ]
    drawing = draw(prompts, labels.shape)
    assert np.array_equal(drawing.positive, labels)


def test_a_label_may_say_what_an_object_is_not() -> None:
    labels = np.zeros((20, 30), np.uint8)
    labels[3, 4:9] = 2
    labels[8, 4:9] = 7
    prompts = painted_scribbles(0, labels, negative={2: 7})
    drawing = draw(prompts, labels.shape)
    assert drawing.object_ids == (7,)
    assert np.array_equal(drawing.outside(7), labels == 2)
    assert np.array_equal(drawing.inside(7), labels == 7)
    assert not prompts[-1].positive


def test_nothing_painted_and_labels_that_are_no_ids() -> None:
    assert painted_scribbles(0, np.zeros((20, 30), int)) == ()
    with pytest.raises(PromptError, match="object 70000"):
        painted_scribbles(0, np.full((20, 30), 70_000))

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_vos._napari.painted import Painted, tell_painted
from napari_vos.frames import FrameStack
from napari_vos.session import Session

if TYPE_CHECKING:
    from pathlib import Path


def test_a_stroke_on_what_was_shown_before_a_run_changes_its_object_alone(
    factory: Any, images: np.ndarray, masks: np.ndarray, tmp_path: Path
) -> None:
    folder = tmp_path / "session"
    with Session(FrameStack(images), folder=folder) as session:
        session.add_mask(0, masks[0])
        session.hold_labels(6)
        session.run()
        assert not np.asarray(session.labels[6]).any()
        held = session.frame_change(6).after
        assert set(np.unique(held)) == {0, 1, 7}
        assert not session.shown_labels(6).any()
        labels = np.zeros_like(held)
        labels[18:22, 30:34] = 9
        frames = {6: Painted(labels, is_held=True)}
        tell_painted(session, frames)
        assert frames == {}
        np.testing.assert_array_equal(session.labels[6], np.where(labels, labels, held))
        assert session.user_frames() == (0, 6)
        assert session.user_frames(7) == (0,)
        session.hold_labels(6)
        session.labels[6] = 0
    # What nobody has released is put right when the session is opened.
    with Session.load(folder, FrameStack(images)) as session:
        assert set(np.unique(session.labels[6])) == {0, 1, 7, 9}

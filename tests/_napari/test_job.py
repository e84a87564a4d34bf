from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_vos._napari import settings
from napari_vos._napari.job import Job, OpenSessions
from napari_vos._napari.snapshot import UserFrames, take_image, take_prompts
from napari_vos.errors import PromptError
from napari_vos.session import Changes, Session
from napari_vos.store.folder import read_about


@pytest.fixture
def job(factory: Any, images: np.ndarray, masks: np.ndarray, tmp_path: Path) -> Job:
    image = take_image(Image(images, name="phase"))
    labels = Labels(masks, name="masks")
    prompts = take_prompts(labels, image, ViewerModel(), UserFrames.PAINTED)
    return Job(image, prompts, folder=tmp_path / "session")


def test_what_is_painted_meanwhile_is_no_prompt(job: Job, masks: np.ndarray) -> None:
    sessions = OpenSessions()
    work = sessions.run(job)
    session = next(work)
    assert isinstance(session, Session)
    before = masks[0].copy()
    masks[0, 0] = masks[5, 0] = 9
    *frames, changes = work
    assert [progress.t for progress in frames] == list(range(1, 12))
    assert isinstance(changes, Changes)
    assert changes.object_ids == (1, 7)
    assert session.user_frames() == (0,)
    np.testing.assert_array_equal(session.labels[0], before)
    sessions.close()


def test_nothing_is_made_of_empty_labels(job: Job, masks: np.ndarray, tmp_path: Path) -> None:
    masks[:] = 0
    with pytest.raises(PromptError, match="'masks' is empty"):
        next(OpenSessions().run(job))
    assert not (tmp_path / "session").exists()


@pytest.mark.parametrize(("gigabytes", "memory_bytes"), [(0, None), (1.5, 1_500_000_000)])
def test_sessions_take_the_memory_of_the_preferences(
    job: Job, monkeypatch: pytest.MonkeyPatch, gigabytes: float, memory_bytes: int | None
) -> None:
    monkeypatch.setattr(settings, "read_setting", lambda *_, **__: gigabytes)
    made = []
    create, load = Session.__init__, Session.load

    def note_created(
        session: Session, *arguments: Any, memory_bytes: int | None, **rest: Any
    ) -> None:
        made.append(memory_bytes)
        create(session, *arguments, memory_bytes=memory_bytes, **rest)

    def note_loaded(*arguments: Any, memory_bytes: int | None) -> Session:
        made.append(memory_bytes)
        return load(*arguments)

    monkeypatch.setattr(Session, "__init__", note_created)
    monkeypatch.setattr(Session, "load", note_loaded)
    for _ in range(2):
        sessions = OpenSessions()
        next(sessions.run(job))
        sessions.close()
    assert made == [memory_bytes] * 2


def test_sessions_are_closed_after_the_last_job(job: Job) -> None:
    sessions = OpenSessions()
    work = sessions.run(job)
    session = next(work)
    assert isinstance(session, Session)
    sessions.close()
    assert sessions.find(job.image, None) is session
    assert len(list(work)) == 12
    assert sessions.find(job.image, None) is None
    Session.load(session.folder, job.image.open()).close()


def test_looking_at_a_session_leaves_its_engine(job: Job, images: np.ndarray) -> None:
    folder = job.folder
    assert folder is not None
    Session(job.image.open(), engine="mast", device="cpu", folder=folder).close()
    about = read_about(folder)
    sessions = OpenSessions()
    list(sessions.show(job))
    sessions.close()
    settings = ("engine", "interactor", "reach")
    assert {name: read_about(folder)[name] for name in settings} == {
        name: about[name] for name in settings
    }
    list(sessions.run(job))
    assert read_about(folder)["engine"]["name"] == "compact"
    sessions.close()

"""What session.json says of how to go on."""

from __future__ import annotations

import json

from napari_vos.configs import MastConfig
from napari_vos.session import Session
from napari_vos.session.engine import EngineChoice
from napari_vos.session.settings import SessionSettings
from napari_vos.session.spans import Reach
from napari_vos.store.folder import read_about


def test_what_was_chosen_is_read_again(frames, factory, blocks, tmp_path):
    folder = tmp_path / "session"
    config = MastConfig(radius=8)
    with Session(frames, engine="mast", config=config, device="cpu", folder=folder) as session:
        session.choose_interactor("random_walker")
        session.add_mask(4, blocks(o1=(2, 2)))
        session.run(frames=(2, 8), direction="forward")
    assert SessionSettings.from_json(read_about(folder)) == SessionSettings(
        EngineChoice("mast", config, device="cpu"),
        EngineChoice("random_walker"),
        Reach((2, 8), "forward"),
    )


def test_older_sessions_say_less(frames, factory, tmp_path):
    folder = tmp_path / "session"
    Session(frames, folder=folder).close()
    about = json.loads((folder / "session.json").read_text())
    del about["interactor"], about["reach"]
    (folder / "session.json").write_text(json.dumps(about))
    Session.load(folder, frames).close()
    found = SessionSettings.from_json(read_about(folder))
    assert found.interactor == EngineChoice("compact")
    assert found.reach == Reach()


def test_where_images_lie_is_kept(frames, factory, tmp_path):
    folder = tmp_path / "session"
    with Session(frames, folder=folder) as session:
        assert "placement" not in read_about(folder)
        session.place({"scale": [2.0, 1.0]})
        assert read_about(folder)["placement"] == {"scale": [2.0, 1.0]}
        before = (folder / "session.json").stat().st_mtime_ns
        session.place({"scale": [2.0, 1.0]})
        assert (folder / "session.json").stat().st_mtime_ns == before

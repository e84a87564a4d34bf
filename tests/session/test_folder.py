"""Saving, loading and finding the images again."""

from __future__ import annotations

import dataclasses
import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_vos.errors import StoreError
from napari_vos.frames import FrameStack
from napari_vos.io import open_frames
from napari_vos.session import Session


@pytest.fixture
def saved(frames, factory, blocks, tmp_path):
    with Session(frames, folder=tmp_path / "saved") as session:
        session.add_mask(0, blocks(o1=(2, 2), o2=(10, 5)))
        session.run()
        session.accept(3)
    return tmp_path / "saved"


def test_a_session_opens_as_it_was(saved, frames, factory):
    with Session.load(saved, frames) as session:
        assert session.object_ids == (1, 2)
        assert len(session.confidence) == 24
        assert not session.pending
        for _ in range(3):
            session.undo()
        assert not np.asarray(session.labels[:]).any()
        for _ in range(3):
            session.redo()
        assert np.asarray(session.labels[11]).any()


def test_a_copy_opens_as_well(frames, factory, blocks, tmp_path):
    with Session(frames) as session:
        session.add_mask(0, blocks(o1=(2, 2)))
        steps = session.propagate()
        next(steps)
        session.save(tmp_path / "copy")
        steps.close()
        session.run()
        labels = np.asarray(session.labels[:])
        with Session.load(tmp_path / "copy", frames) as copy:
            copy.run()
            assert np.array_equal(copy.labels[:], labels)
            with pytest.raises(StoreError, match="open elsewhere"):
                session.save(tmp_path / "copy")
        # A later copy replaces an earlier one, and nothing else.
        session.save(tmp_path / "copy")
        with pytest.raises(StoreError, match="another session"):
            session.save(session.folder)
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "thesis.txt").write_text("mine")
        with pytest.raises(StoreError, match="no session"):
            session.save(tmp_path / "other")
    with Session.load(tmp_path / "copy", frames) as copy:
        assert np.array_equal(copy.labels[:], labels)


def test_a_folder_with_other_things_is_refused(frames, factory, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match="isn't empty"):
        Session(frames, folder=tmp_path)
    with pytest.raises(StoreError, match="There is no session"):
        Session.load(tmp_path, frames)


def test_a_folder_that_cannot_be_written_is_named(frames, factory, tmp_path, monkeypatch):
    def refuse(path, **_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StoreError, match=r"Can't make '.*a'.*Choose a folder that can be written"):
        Session(frames, folder=tmp_path / "a")


def test_a_folder_on_a_file_is_named(frames, factory, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"Can't make '.*file.a'"):
        Session(frames, folder=tmp_path / "file" / "a")


def test_other_images_are_refused(saved, fake):
    with pytest.raises(StoreError, match="other pixels than the images"):
        Session.load(saved, fake.FakeFrames(fingerprint="def"))
    with pytest.raises(StoreError, match=r"11 frames of \(24, 40\)"):
        Session.load(saved, fake.FakeFrames(n_frames=11))
    # What was refused leaves the folder free.
    Session.load(saved, fake.FakeFrames()).close()


def test_images_from_an_array_have_to_be_passed(saved):
    with pytest.raises(StoreError, match="Pass the images as a FrameStack"):
        Session.load(saved)


def test_images_from_a_file_are_found_again(factory, tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 900, (5, 24, 40)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "phase.tif", images, metadata={"axes": "TYX"})
    monkeypatch.chdir(tmp_path)
    Session(open_frames("phase.tif"), folder=tmp_path / "a").close()
    monkeypatch.chdir("/")
    with Session.load(tmp_path / "a") as session:
        assert np.array_equal(session.frames.read(3)[0], images[3])
    (tmp_path / "phase.tif").unlink()
    with pytest.raises(StoreError, match=r"There is no file .* If they were moved"):
        Session.load(tmp_path / "a")
    Session.load(tmp_path / "a", FrameStack(images)).close()


def test_axes_and_channels_that_were_named_are_used_again(factory, tmp_path):
    images = np.random.default_rng(0).integers(0, 900, (4, 4, 24, 40)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "phase.tif", images, photometric="minisblack")
    frames = open_frames(tmp_path / "phase.tif", axes="CTYX", channels=[2])
    Session(frames, folder=tmp_path / "a").close()
    with Session.load(tmp_path / "a") as session:
        assert session.frames.axes == "CTYX"
        assert session.frames.channels == (2,)


def test_other_channels_are_refused(factory, tmp_path):
    images = np.random.default_rng(0).integers(0, 900, (4, 2, 24, 40)).astype(np.uint16)
    Session(FrameStack(images, channels=[1]), folder=tmp_path / "a").close()
    with pytest.raises(StoreError, match=r"channels \[1\] .* these are \[0, 1\]"):
        Session.load(tmp_path / "a", FrameStack(images))
    Session.load(tmp_path / "a", FrameStack(images, channels=[1])).close()


def test_a_damaged_session_file_is_named(saved, frames):
    (saved / "session.json").write_text("{")
    with pytest.raises(StoreError, match=r"session\.json' is damaged"):
        Session.load(saved, frames)
    (saved / "session.json").write_text('{"format": 99}')
    with pytest.raises(StoreError, match=r"format 99.*Update"):
        Session.load(saved, frames)


def test_a_damaged_version_is_named(saved, frames, factory):
    version = sorted((saved / "frames").iterdir())[3]
    content = bytearray(version.read_bytes())
    content[len(content) // 3] ^= 0xFF
    version.write_bytes(bytes(content[: len(content) // 2]))
    with Session.load(saved, frames) as session, pytest.raises(StoreError, match="is damaged"):
        list(session.table())


def test_the_engine_asked_for_is_kept(frames, factory, blocks, tmp_path, monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Config:
        memory: int = 5

    module = type(sys)("napari_vos.configs")
    module.Config = Config  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "napari_vos.configs", module)
    Session(
        frames, engine="mast", config=Config(3), device="cpu", weights="w.pt", folder=tmp_path / "a"
    ).close()
    assert json.loads((tmp_path / "a" / "session.json").read_text())["engine"]["name"] == "mast"
    with Session.load(tmp_path / "a", frames) as session:
        session.add_mask(0, blocks(o1=(2, 2)))
        session.run()
    assert factory.arguments == [
        {
            "name": "mast",
            "plan": None,
            "config": Config(3),
            "weights": "w.pt",
            "device": "cpu",
            "precision": "auto",
        }
    ]


def test_a_temporary_session_goes_with_its_owner(frames, factory):
    session = Session(frames)
    folder = session.folder
    assert folder.exists()
    del session
    assert not folder.exists()


def test_a_forgotten_session_frees_its_folder(frames, factory, tmp_path):
    session = Session(frames, folder=tmp_path / "a")
    del session
    Session.load(tmp_path / "a", frames).close()


def test_importing_loads_no_torch_and_no_window():
    code = (
        "import sys, napari_vos.session; "
        "print([n for n in ('torch', 'napari', 'qtpy', 'magicgui') if n in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert result.stdout.strip() == "[]"

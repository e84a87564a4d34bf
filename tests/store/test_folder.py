from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from napari_vos.errors import StoreError
from napari_vos.store.folder import SessionFolder
from napari_vos.store.lock import FolderLock

ABOUT = {"id": "x", "frames": {"n_frames": 3, "shape": [4, 5]}}


def test_prompts_are_kept_by_content(tmp_path):
    folder = SessionFolder.create(tmp_path / "a", ABOUT)
    labels = np.arange(20, dtype=np.uint16).reshape(4, 5)
    digest = folder.write_prompt(labels)
    assert folder.write_prompt(labels.copy()) == digest
    assert folder.write_prompt(labels.T.copy()) != digest
    assert np.array_equal(folder.read_prompt(digest), labels)
    assert len(list((tmp_path / "a" / "prompts").iterdir())) == 2
    folder.close()


def test_states_are_kept_by_leg_and_frame(tmp_path):
    folder = SessionFolder.create(tmp_path / "a", ABOUT)
    folder.write_state("3-0", 2, {"count": np.array(5)})
    folder.write_state("3-1", 2, {"count": np.array(6)})
    assert folder.read_state("3-1", 1) is None
    folder.keep_states(frozenset({"3-1"}))
    assert folder.read_state("3-0", 2) is None
    found = folder.read_state("3-1", 2)
    assert found is not None
    assert found["count"] == 6
    folder.close()


def test_the_format_is_told(tmp_path):
    SessionFolder.create(tmp_path / "a", ABOUT).close()
    assert json.loads((tmp_path / "a" / "session.json").read_text())["format"] == 1


def test_a_shape_that_differs_is_told(tmp_path):
    SessionFolder.create(tmp_path / "a", ABOUT).close()
    other = {**ABOUT, "format": 1, "frames": {"n_frames": 4, "shape": [4, 5]}}
    (tmp_path / "a" / "session.json").write_text(json.dumps(other))
    with pytest.raises(StoreError, match=r"\(3, 4, 5\).*\(4, 4, 5\)"):
        SessionFolder.open(tmp_path / "a")
    # What could not be opened is not locked.
    FolderLock(tmp_path / "a" / "lock").release()


def test_damaged_shown_labels_are_told(tmp_path):
    SessionFolder.create(tmp_path / "a", ABOUT).close()
    (tmp_path / "a" / "labels.zarr" / "zarr.json").write_text("{")
    with pytest.raises(StoreError, match="Delete this folder: it is made again"):
        SessionFolder.open(tmp_path / "a")


def test_a_folder_that_was_killed_while_it_was_made_is_made_again(tmp_path):
    path = tmp_path / "a"
    path.mkdir()
    (path / "session.json.tmp").write_text("{")
    SessionFolder.create(path, ABOUT).close()
    # As if killed right after session.json, and within the making of the array.
    for name in ("prompts", "frames", "states"):
        (path / name).rmdir()
    (path / "labels.zarr").rename(path / "labels.zarr.partial")
    (path / "labels.zarr.partial" / "zarr.json").write_text("{")
    folder = SessionFolder.open(path)
    assert folder.mirror is not None
    assert folder.mirror.array.shape == (3, 4, 5)
    assert not list(path.glob("*.partial"))
    assert not list(path.glob("*.tmp"))
    folder.close()


def test_a_lock_says_who_holds_it(tmp_path):
    lock = FolderLock(tmp_path / "lock")
    with pytest.raises(StoreError, match=r"is open elsewhere \(process \d+ on .*Close it there"):
        FolderLock(tmp_path / "lock")
    lock.release()
    assert FolderLock(tmp_path / "lock").was_closed


def test_a_lock_of_a_dead_process_is_free(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from napari_vos.store.lock import FolderLock; "
        "lock = FolderLock(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    path = tmp_path / "lock"
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode in (-9, 9)
    lock = FolderLock(path)
    assert not lock.was_closed
    lock.release(closed=False)
    assert not FolderLock(path).was_closed


def test_a_reader_needs_no_lock(tmp_path):
    folder = SessionFolder.create(tmp_path / "a", ABOUT)
    reader = SessionFolder.open(tmp_path / "a", read_only=True)
    assert reader.mirror is None
    reader.close()
    folder.close()

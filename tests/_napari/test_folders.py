from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_vos._napari import folders

if TYPE_CHECKING:
    import pytest


def test_new_folders_have_the_name_and_never_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "read_setting", lambda *_, **__: str(tmp_path))
    first = folders.new_folder("my cells/01.tif")
    assert first.parent == tmp_path
    assert first.name.startswith("my_cells_01_tif_")
    assert first.suffix == ".session"
    made = []
    for _ in range(3):
        folder = folders.new_folder("cells")
        folder.mkdir()
        made.append(folder)
    assert len(set(made)) == 3


def test_without_a_setting_they_lie_in_the_users_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "read_setting", lambda *_, default, **__: default)
    monkeypatch.setattr(folders, "user_data_path", lambda name: tmp_path / name)
    assert folders.new_folder("a").parent == tmp_path / "napari-vos" / "sessions"

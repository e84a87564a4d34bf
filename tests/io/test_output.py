from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_vos.errors import StoreError
from napari_vos.io.output import whole_output

if TYPE_CHECKING:
    from pathlib import Path


def test_output_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with whole_output(path, overwrite=False) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_output_that_exists(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with (
        pytest.raises(StoreError, match=r"table\.csv' exists already. Choose another name"),
        whole_output(path, overwrite=False),
    ):
        pytest.fail("nothing may be written")
    assert path.read_text() == "old"
    with whole_output(path, overwrite=True) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_a_failure_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def write_half() -> None:
        with whole_output(path, overwrite=True) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_remains_of_a_killed_run_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "out.zarr.tmp").mkdir()
    (tmp_path / "out.zarr.tmp" / "remains").touch()
    with whole_output(tmp_path / "out.zarr", overwrite=False) as temporary:
        temporary.mkdir()
    assert list((tmp_path / "out.zarr").iterdir()) == []
    assert list(tmp_path.iterdir()) == [tmp_path / "out.zarr"]


def test_only_zarr_folders_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "precious").touch()
    with (
        pytest.raises(StoreError, match="results' is a folder of another kind"),
        whole_output(tmp_path / "results", overwrite=True),
    ):
        pytest.fail("nothing may be written")
    assert (tmp_path / "results" / "precious").exists()


def test_paths_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, message in (
        (tmp_path / "missing" / "out.csv", "No such file or directory. Make the folder first"),
        (tmp_path / "file" / "out.csv", "Not a directory. Choose a folder"),
    ):
        with (
            pytest.raises(StoreError, match=rf"Can't write '.*out\.csv': {message}"),
            whole_output(path, overwrite=False) as temporary,
        ):
            temporary.write_text("nothing")


def test_what_has_a_similar_name_stays(tmp_path):
    mine = tmp_path / "out.zarr.old"
    mine.mkdir()
    path = tmp_path / "out.zarr"
    for _ in range(2):
        with whole_output(path, overwrite=True) as temporary:
            temporary.mkdir()
            (temporary / "zarr.json").write_text("{}")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out.zarr", "out.zarr.old"]

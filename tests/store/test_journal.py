from __future__ import annotations

import errno

import pytest

from napari_vos.errors import StoreError
from napari_vos.store import journal as module
from napari_vos.store.journal import Journal


def test_lines_are_numbered_and_come_back(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.append("add_mask", t=3, ids=[1, 2])
    journal.append("undo", of=1)
    again = Journal(tmp_path / "j")
    assert again.lines == journal.lines
    assert [(line["n"], line["action"]) for line in again.lines] == [(1, "add_mask"), (2, "undo")]
    assert (tmp_path / "j").read_text().count("\n") == 2


def test_a_torn_last_line_is_cut_off_at_any_byte(tmp_path):
    journal = Journal(tmp_path / "whole")
    journal.append("first")
    first = (tmp_path / "whole").read_bytes()
    journal.append("second", text="é\n")
    content = (tmp_path / "whole").read_bytes()
    for length in range(len(first), len(content)):
        (tmp_path / "torn").write_bytes(content[:length])
        torn = Journal(tmp_path / "torn")
        assert [line["action"] for line in torn.lines] == ["first"]
        assert (tmp_path / "torn").read_bytes() == first
        torn.append("third")
        assert [line["action"] for line in Journal(tmp_path / "torn").lines] == ["first", "third"]


def test_garbage_at_the_end_is_cut_off(tmp_path):
    Journal(tmp_path / "j").append("first")
    with (tmp_path / "j").open("ab") as file:
        file.write(b"\0\0\0\0\n")
    assert len(Journal(tmp_path / "j").lines) == 1


def test_a_damaged_line_before_the_last_is_told(tmp_path):
    journal = Journal(tmp_path / "j")
    for action in ("first", "second", "third"):
        journal.append(action)
    (tmp_path / "j").write_text((tmp_path / "j").read_text().replace("second", 'sec"ond'))
    with pytest.raises(StoreError, match=r"Line 2 of '.*' is damaged.*Restore"):
        Journal(tmp_path / "j")


def test_a_missing_line_is_told(tmp_path):
    journal = Journal(tmp_path / "j")
    for action in ("first", "second", "third"):
        journal.append(action)
    lines = (tmp_path / "j").read_text().splitlines(keepends=True)
    (tmp_path / "j").write_text(lines[0] + lines[2] + lines[1])
    with pytest.raises(StoreError, match="number 3"):
        Journal(tmp_path / "j")


def test_a_reader_changes_nothing(tmp_path):
    Journal(tmp_path / "j").append("first")
    with (tmp_path / "j").open("ab") as file:
        file.write(b'{"n": 2, "act')
    before = (tmp_path / "j").read_bytes()
    assert len(Journal(tmp_path / "j", read_only=True).lines) == 1
    assert (tmp_path / "j").read_bytes() == before


def test_a_failed_append_is_not_in_the_way_of_the_next(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "j")
    journal.append("first")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "fsync", full)
        with pytest.raises(StoreError, match="No space left"):
            journal.append("lost")
    journal.append("second")
    assert [line["action"] for line in Journal(tmp_path / "j").lines] == ["first", "second"]
    assert [line["n"] for line in journal.lines] == [1, 2]

"""The journal: one readable line for all that happens in a session."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from napari_vos.errors import StoreError
from napari_vos.store.files import reported

if TYPE_CHECKING:
    from pathlib import Path

Line = dict[str, Any]
"""One line: `n` (its number from 1), `time` (UTC), `action`, and what belongs to it."""


class Journal:
    """An append-only file of JSON lines.

    A line counts once it is complete and on disk. A last line that a crash has
    torn is cut off when the journal is opened for writing.

    Parameters
    ----------
    path
        The file; made if it isn't there.
    read_only
        Leave the file as it is.
    durable
        Wait for the disk with each line; see `files.write_arrays`.

    Raises
    ------
    StoreError
        If the file can't be opened or a line other than the last is damaged.
    """

    def __init__(self, path: Path, *, read_only: bool = False, durable: bool = True) -> None:
        self._path, self._durable = path, durable
        with reported(path, "read"):
            content = path.read_bytes() if path.exists() else b""
        self.lines, self._length = _parse(content, path)
        """All complete lines, in order."""
        if not read_only:
            with reported(path, "write"), path.open("ab") as file:
                file.truncate(self._length)

    def append(self, action: str, **fields: Any) -> Line:
        """Write one line to disk and return it.

        Raises
        ------
        StoreError
            If it can't be written; the journal is then as it was.
        """
        line: Line = {
            "n": len(self.lines) + 1,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "action": action,
            **fields,
        }
        content = json.dumps(line, separators=(", ", ": ")).encode() + b"\n"
        with reported(self._path, "write"), self._path.open("ab", buffering=0) as file:
            # What an append on a full disk left behind must not come before this line.
            file.truncate(self._length)
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) :]
            if self._durable:
                os.fsync(file.fileno())
        self._length += len(content)
        self.lines.append(line)
        return line


def _parse(content: bytes, path: Path) -> tuple[list[Line], int]:
    """Return the complete lines and the length up to which the file is good."""
    lines: list[Line] = []
    length = 0
    pieces = content.split(b"\n")
    for index, piece in enumerate(pieces[:-1]):
        try:
            line = json.loads(piece)
            if line["n"] != len(lines) + 1:
                raise ValueError(f"it has the number {line['n']}")
        except (ValueError, KeyError, TypeError) as error:
            if index == len(pieces) - 2 and not pieces[-1]:
                break
            raise StoreError(
                f"Line {index + 1} of '{path}' is damaged ({error}). Restore this file from "
                "a copy, or cut it off before that line."
            ) from error
        lines.append(line)
        length += len(piece) + 1
    return lines, length

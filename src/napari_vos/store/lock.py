"""One writer per session folder."""

from __future__ import annotations

import json
import os
import socket
import sys
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

from napari_vos.errors import StoreError
from napari_vos.store.files import reported

if TYPE_CHECKING:
    from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    # Locked bytes can't be read by others on Windows: lock one far behind the text.
    _FAR = 2**30

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FolderLock:
    """The right to write a session folder, held until `release`.

    The operating system holds the lock, so that it is free again however its
    process ended. The file tells who holds it; text that is found in it when
    it is taken says that the last session was not closed.

    Parameters
    ----------
    path
        The lock file.

    Raises
    ------
    StoreError
        If another session holds it, or the file can't be written.
    """

    def __init__(self, path: Path) -> None:
        with reported(path, "write"):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(self._descriptor)
        except OSError as error:
            owner = _owner(os.read(self._descriptor, 1000))
            os.close(self._descriptor)
            raise StoreError(
                f"The session '{path.parent}' is open elsewhere{owner}. Close it there first, "
                "or work on a copy of the folder."
            ) from error
        self._close = weakref.finalize(self, os.close, self._descriptor)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self.was_closed = not os.read(self._descriptor, 1000)
        """Whether the last session in this folder was closed properly."""
        self._write(json.dumps({"process": os.getpid(), "host": socket.gethostname()}).encode())

    def release(self, *, closed: bool = True) -> None:
        """Give the lock back.

        Parameters
        ----------
        closed
            Whether all that had to be written was written.
        """
        if closed:
            # A full disk doesn't matter here: it costs the next opening a check.
            with suppress(OSError):
                self._write(b"")
        self._close()

    def _write(self, text: bytes) -> None:
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, text)


def _owner(text: bytes) -> str:
    try:
        owner = json.loads(text)
        return f" (process {owner['process']} on {owner['host']})"
    except (ValueError, KeyError, TypeError):
        return ""

"""Named arrays in one file, written whole or not at all."""

from __future__ import annotations

import errno
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from napari_vos.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_ADVICE = {
    errno.ENOSPC: "Free some space; every finished frame is kept and the run can be continued.",
    errno.EDQUOT: "Free some of the quota; every finished frame is kept and the run can be "
    "continued.",
    errno.EACCES: "Choose a folder that can be written.",
    errno.EPERM: "Choose a folder that can be written.",
    errno.EROFS: "Choose a folder that can be written.",
}


@contextmanager
def reported(path: Path, action: str) -> Iterator[None]:
    """Turn what the file system refuses inside the block into a `StoreError`.

    Parameters
    ----------
    path
        The file or folder the block works on.
    action
        What is tried, as a verb: "write", "read".

    Raises
    ------
    StoreError
        If the block raises an `OSError`; names `path`, the cause, what to do.
    """
    try:
        yield
    except OSError as error:
        cause = error.strerror or str(error)
        advice = _ADVICE.get(error.errno or 0, "Check the folder and the disk it lies on.")
        raise StoreError(f"Can't {action} '{path}': {cause}. {advice}") from error


def write_file(path: Path, content: bytes) -> None:
    """Write `content` to a temporary file beside `path` and rename it.

    Raises
    ------
    StoreError
        If the disk is full or the folder can't be written; `path` is then as
        it was.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    with reported(path, "write"):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def write_arrays(
    path: Path, arrays: Mapping[str, NDArray[np.generic]], *, durable: bool = True
) -> int:
    """Write named arrays to a compressed npz file, whole or not at all.

    The fastest compression level is taken: masks shrink to almost nothing at
    any level, and probabilities hardly shrink at all.

    Parameters
    ----------
    path, arrays
        The file, and what is written to it.
    durable
        Wait for the disk: what is written outlasts a loss of power, and not
        the end of the program alone.

    Returns
    -------
    int
        Size of the file in bytes.

    Raises
    ------
    StoreError
        If the file can't be written.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    with reported(path, "write"):
        try:
            with temporary.open("wb") as file:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                    for name, array in arrays.items():
                        with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                            np.lib.format.write_array(entry, np.asarray(array), allow_pickle=False)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
                size = file.tell()
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    return size


def read_arrays(path: Path, prefix: str = "") -> dict[str, NDArray[np.generic]]:
    """Read the arrays of an npz file whose names begin with `prefix`.

    Returns
    -------
    dict
        Read-only arrays by full name.

    Raises
    ------
    StoreError
        If the file is missing, can't be read, or is damaged.
    """
    arrays: dict[str, NDArray[np.generic]] = {}
    with reported(path, "read"):
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                for name in archive.files:
                    if name.startswith(prefix):
                        arrays[name] = archive[name]
                        arrays[name].setflags(write=False)
        except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError) as error:
            raise StoreError(
                f"'{path}' is damaged ({error}). Undo the step that wrote it, or take this "
                "file from a copy of the session."
            ) from error
    return arrays

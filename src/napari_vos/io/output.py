"""Output that appears whole or not at all."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from napari_vos.errors import StoreError
from napari_vos.io.zarr import is_zarr

if TYPE_CHECKING:
    from pathlib import Path

_ADVICE = {
    errno.ENOSPC: "Free some space, or choose another disk.",
    errno.EDQUOT: "Free some of the quota, or choose another disk.",
    errno.ENOENT: "Make the folder first, or choose another one.",
}


@contextmanager
def whole_output(
    path: Path, *, overwrite: bool, replaceable: Callable[[Path], bool] = is_zarr
) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends.

    Parameters
    ----------
    path
        A file, or a folder such as a zarr array.
    overwrite
        Whether something that is at `path` already is replaced.
    replaceable
        Whether a folder is one that may be replaced.

    Yields
    ------
    Path
        Where to write. Nothing stays there if the block raises.

    Raises
    ------
    StoreError
        If `path` exists and isn't to be replaced, or can't be written; names it.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    previous = path.with_name(f"{path.name}.previous.tmp")
    try:
        if path.exists() and not overwrite:
            raise StoreError(f"'{path}' exists already. Choose another name, or overwrite it.")
        if path.is_dir() and not replaceable(path):
            raise StoreError(f"'{path}' is a folder of another kind. Choose another name.")
        _remove(temporary)
        yield temporary
        if path.is_dir():  # a folder can't be replaced at one stroke
            _remove(previous)
            path.rename(previous)
        temporary.replace(path)
        _remove(previous)
    except OSError as error:
        cause = error.strerror or str(error)
        advice = _ADVICE.get(error.errno or 0, "Choose a folder that can be written.")
        raise StoreError(f"Can't write '{path}': {cause}. {advice}") from error
    finally:
        with suppress(OSError):  # what can't be written to can't be cleaned up either
            _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

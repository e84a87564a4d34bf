"""A session that a repeated command goes on with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_vos.errors import StoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.frames import FrameStack
    from napari_vos.io import LabelStack
    from napari_vos.session import Session

_ADVICE = "Name another folder with --session, or start anew with --overwrite."


def holds_session(folder: Path) -> bool:
    """Return whether a session lies in `folder`."""
    return (folder / "session.json").is_file()


def delete_session(folder: Path) -> None:
    """Delete a session that isn't wanted any more.

    Raises
    ------
    StoreError
        If it is open elsewhere or can't be deleted.
    """
    from napari_vos.store.folder import SessionFolder

    SessionFolder.open(folder).close()  # refuses if it is open elsewhere
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise StoreError(f"Can't delete the session '{folder}': {error.strerror}.") from error


def open_session(
    folder: Path, frames: FrameStack, *, memory_bytes: int | None = None, **choice: Any
) -> Session:
    """Make a session, or open the one in `folder` if it was made in the same words.

    One in which nothing is propagated yet takes the new words: those it was made
    with may have named weights or a device that aren't there.

    Parameters
    ----------
    folder
        Where it is kept.
    frames
        The images.
    memory_bytes
        As `Session` takes it.
    **choice
        engine, config, weights, device and precision, as `Session` takes them.

    Raises
    ------
    StoreError
        If the folder can't be used, or its session is on other images or of
        another engine.
    """
    from napari_vos.session import Session
    from napari_vos.session.engine import EngineChoice

    if not holds_session(folder):
        return Session(frames, folder=folder, memory_bytes=memory_bytes, **choice)
    session = Session.load(folder, frames, memory_bytes=memory_bytes)
    made = json.loads((folder / "session.json").read_bytes())["engine"]
    asked = EngineChoice(choice["engine"], *(choice[key] for key in _OPTIONS)).to_json()
    differing = [key for key in asked if made[key] != asked[key]]
    if differing and {t for t, _ in session.confidence} <= set(session.user_frames()):
        session.choose_engine(**choice)
    elif differing:
        session.close()
        then = ", ".join(f"{key} {_in_words(made[key])}" for key in differing)
        raise StoreError(f"The session '{folder}' was made with {then}. {_ADVICE}")
    return session


_OPTIONS = ("config", "weights", "device", "precision")


def _in_words(value: Any) -> str:
    """Return what is chosen; of a configuration its settings."""
    if isinstance(value, dict):
        return ", ".join(f"{name}={setting}" for name, setting in value["fields"].items())
    return "of its own" if value is None else str(value)


def add_prompts(session: Session, prompts: LabelStack, frames: Iterable[int]) -> None:
    """Tell a session the masks it doesn't know yet.

    Parameters
    ----------
    session
        New, interrupted or finished.
    prompts
        Labels of the same frames.
    frames
        Those the user has painted.

    Raises
    ------
    StoreError
        If the session was told other masks than these.
    """
    known = session.user_frames()
    given = {t: prompts[t] for t in frames}
    for t in known:
        if t not in given or not _agree(session, t, given[t]):
            folder = session.folder
            raise StoreError(
                f"The session '{folder}' was made with other masks than those on frame {t} of "
                f"'{prompts.name}'. {_ADVICE}"
            )
    for t in sorted(given.keys() - set(known)):
        session.add_mask(t, given[t])


def _agree(session: Session, t: int, given: NDArray[np.uint16]) -> bool:
    """Return whether the objects the user marked on frame `t` lie as they are given."""
    marked = [i for i in session.object_ids if t in session.user_frames(i)]
    shown = np.asarray(session.labels[t])
    return bool(np.array_equal(np.where(np.isin(shown, marked), shown, 0), given))

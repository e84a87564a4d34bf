"""The images of a session: what is noted of them, and how they are found again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_vos.errors import FramesError, StoreError
from napari_vos.io import open_frames

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_vos.frames import FrameStack


def describe_frames(frames: FrameStack) -> dict[str, Any]:
    """Return what session.json says about the images."""
    return {
        "name": frames.name,
        "path": None if frames.path is None else str(frames.path),
        "n_frames": frames.n_frames,
        "shape": list(frames.shape),
        "axes": frames.axes,
        "channels": list(frames.channels),
        "fingerprint": frames.fingerprint,
    }


def find_frames(about: Mapping[str, Any], frames: FrameStack | None, session: Path) -> FrameStack:
    """Return the images of a session.

    Parameters
    ----------
    about
        What `describe_frames` noted.
    frames
        The images, if the caller has them.
    session
        The session's folder, for messages.

    Raises
    ------
    StoreError
        If the images can't be found, or aren't the session's.
    """
    if frames is None:
        if about["path"] is None:
            raise StoreError(
                f"The session '{session}' was made from an array ('{about['name']}'), not from "
                "a file. Pass the images as a FrameStack."
            )
        try:
            frames = reopen_frames(about)
        except FramesError as error:
            raise StoreError(
                f"The images of the session '{session}' can't be opened: {error} "
                "If they were moved, pass them as a FrameStack."
            ) from error
    came = (frames.n_frames, *frames.shape)
    expected = (about["n_frames"], *about["shape"])
    if came != expected:
        raise StoreError(
            f"'{frames.name}' has {came[0]} frames of {came[1:]} pixels; the session '{session}' "
            f"was made on {expected[0]} of {expected[1:]}. Pass the images it was made on."
        )
    if frames.fingerprint != about["fingerprint"]:
        raise StoreError(
            f"'{frames.name}' has the right shape but other pixels than the images that the "
            f"session '{session}' was made on ('{about['name']}'). Pass those."
        )
    if list(frames.channels) != about["channels"]:
        raise StoreError(
            f"The session '{session}' was made on the channels {about['channels']} of "
            f"'{about['name']}', and these are {list(frames.channels)}. Pass the images as a "
            "FrameStack with those channels."
        )
    return frames


def reopen_frames(about: Mapping[str, Any]) -> FrameStack:
    """Open the images of a session where they were; nothing is compared.

    Parameters
    ----------
    about
        What `describe_frames` noted, with a path.

    Raises
    ------
    FramesError
        If they can't be opened.
    """
    path, axes, channels = about["path"], about["axes"], about["channels"]
    # The file's own axes come first: those noted are without any of length 1.
    with suppress(FramesError):
        found = open_frames(path, channels=channels)
        if found.axes == axes:
            return found
    return open_frames(path, axes=axes, channels=channels)

"""Which frames of a truth are annotated, as a file beside it tells."""

from __future__ import annotations

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from napari_vos.errors import FramesError

FILE_NAME = "meta.json"
_COMPLETE = "annotated_frames"


@dataclass(frozen=True)
class Annotation:
    """How far the frames of a truth are annotated.

    A truth whose annotation isn't the same on all frames has a file `meta.json`
    in its folder: an object with `annotated_frames`, the list of the frames
    (from 0) on which everything in view has a mask. Other frames may hold some
    masks or none; what they lack is not known.

    Attributes
    ----------
    complete_frames
        Frames on which everything in view has a mask.
    """

    complete_frames: frozenset[int]


def find_annotation(truth: str | PathLike[str]) -> Annotation | None:
    """Read the file beside a truth; None if there is none.

    Parameters
    ----------
    truth
        The truth's file or folder; `meta.json` is looked for beside it.

    Raises
    ------
    FramesError
        If the file is there and can't be understood.
    """
    path = Path(truth).absolute().with_name(FILE_NAME)
    if not path.is_file():
        return None
    try:
        frames = frozenset(int(t) for t in json.loads(path.read_bytes())[_COMPLETE])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FramesError(
            f"Can't understand '{path}' ({error!r}); expected an object with the list "
            f"'{_COMPLETE}'. Mend it, or move the truth to another folder."
        ) from error
    return Annotation(frames)

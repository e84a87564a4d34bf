"""What was painted on results, frozen, and how a session is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_vos.errors import PromptError
from napari_vos.prompts import painted_scribbles

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_vos.session import Session


@dataclass(frozen=True, eq=False)
class Painted:
    """A frame of results that was painted.

    Attributes
    ----------
    labels
        (Y, X), as they were left.
    is_held
        Whether the session holds the frame since before the first stroke.
    is_rough
        Whether the strokes are scribbles, of which masks are to be made.
    """

    labels: NDArray[Any]
    is_held: bool
    is_rough: bool = False


def tell_painted(
    session: Session,
    frames: dict[int, Painted],
    *,
    is_superseded: Callable[[], bool] | None = None,
) -> None:
    """Tell a session what was painted on its results: of the objects that it changes alone.

    What a run has made of a frame since it was painted stays, but under the strokes.
    Objects that only lose pixels to others are cut there, as under any mask. Those
    that are painted away end.

    Parameters
    ----------
    session
        The session.
    frames
        By frame; what was told is taken out, and what is refused.
    is_superseded
        Asked when masks are made of scribbles: if they aren't wanted any more, their
        frames stay.

    Raises
    ------
    PromptError
        If scribbles can't be used.
    """
    for t in sorted(frames):
        painted = frames[t]
        try:
            if painted.is_rough:
                is_told = _scribble(session, t, painted, is_superseded)
            else:
                is_told = _correct(session, t, painted)
        except PromptError:
            _drop(session, frames, t)
            raise
        if is_told:
            _drop(session, frames, t)


def _correct(session: Session, t: int, painted: Painted) -> bool:
    held = session.frame_change(t).after
    was = session.shown_labels(t)
    differs = painted.labels != was
    lost = was[differs & (painted.labels == 0)]
    touched = (set(np.unique(painted.labels[differs])) | set(np.unique(lost))) - {0}
    now = np.where(differs, painted.labels, held)
    said = np.where(np.isin(now, list(touched)), now, 0)
    if said.any():
        session.add_mask(t, said)
    for i in sorted((touched - set(np.unique(said))).intersection(session.object_ids)):
        session.end_object(int(i), t)
    return True


def _scribble(
    session: Session, t: int, painted: Painted, is_superseded: Callable[[], bool] | None
) -> bool:
    """Draw what was painted on the objects of its labels; erased, off those that were there."""
    was = session.shown_labels(t)
    differs = painted.labels != was
    erased = np.where(differs & (painted.labels == 0), was, 0)
    prompts = painted_scribbles(t, np.where(differs, painted.labels, 0))
    prompts += painted_scribbles(t, erased, negative={i: i for i in np.unique(erased).tolist()})
    return not prompts or session.draw(prompts, is_superseded=is_superseded)


def _drop(session: Session, frames: dict[int, Painted], t: int) -> None:
    if frames.pop(t).is_held:
        session.release_labels(t)

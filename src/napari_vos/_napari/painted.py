"""What was painted on results, frozen, and how a session is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.session import Session


@dataclass(frozen=True, eq=False)
class Painted:
    """A frame of results that was painted.

    Attributes
    ----------
    labels
        (Y, X), as they were left.
    before
        (Y, X), what the session held before the first stroke, since when it holds
        what is shown; None for what it holds now.
    """

    labels: NDArray[Any]
    before: NDArray[np.uint16] | None


def tell_painted(session: Session, frames: dict[int, Painted]) -> None:
    """Tell a session what was painted on its results: of the objects that it changes alone.

    What a run has made of a frame since it was painted stays, but under the strokes.
    Objects that only lose pixels to others are cut there, as under any mask. Those
    that are painted away end.

    Parameters
    ----------
    session
        The session.
    frames
        By frame; what was told is taken out.
    """
    for t in sorted(frames):
        labels, before = frames[t].labels, frames[t].before
        held = session.frame_change(t).after
        was = held if before is None else before
        differs = labels != was
        lost = was[differs & (labels == 0)]
        touched = (set(np.unique(labels[differs])) | set(np.unique(lost))) - {0}
        now = np.where(differs, labels, held)
        said = np.where(np.isin(now, list(touched)), now, 0)
        if said.any():
            session.add_mask(t, said)
        for i in sorted((touched - set(np.unique(said))).intersection(session.object_ids)):
            session.end_object(int(i), t)
        if before is not None:
            session.release_labels(t)
        del frames[t]

"""From what is drawn on a frame to masks: the interactor of a session, made on first use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_vos.errors import PromptError
from napari_vos.prompts import MaskPrompt, draw
from napari_vos.session.engine import EngineChoice, plan_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.engines.base import Interactor
    from napari_vos.frames import FrameStack
    from napari_vos.prompts import Drawing, DrawnPrompt
    from napari_vos.session.ledger import Ledger

INTERACTOR = "compact"
"""The interactor that is taken if none is named."""


@dataclass
class Interaction:
    """Makes masks of what is drawn, with the labels of the frame so far.

    Attributes
    ----------
    ledger
        The session.
    frames
        The images.
    choice
        The interactor asked for.
    """

    ledger: Ledger
    frames: FrameStack
    choice: EngineChoice
    _interactor: Interactor | None = field(default=None, init=False)

    def segment(self, prompts: Iterable[DrawnPrompt]) -> tuple[MaskPrompt, dict[str, Any]]:
        """Return the masks of what is drawn on one frame, and what the journal says of them.

        Strokes are obeyed pixel by pixel. Accepted objects that aren't drawn keep
        their pixels but under strokes.

        Raises
        ------
        PromptError
            If the prompts can't be used, or nothing is left of an object.
        """
        drawing = draw(prompts, self.ledger.shape)
        t, previous = drawing.t, self.ledger.labels(drawing.t)
        for i in drawing.object_ids:
            if i not in drawing.boxes and not (drawing.inside(i) | (previous == i)).any():
                raise PromptError(
                    f"Object {i} isn't on frame {t} yet, and what is drawn says only where it "
                    "isn't. Draw a positive scribble, point or box first."
                )
        if self._interactor is None:
            self._interactor = self.choice.create_interactor(self.frames)
        labels = self._interactor.segment(drawing, _without_strays(drawing, previous))
        locked = self.ledger.history.state.locked_ids(t) - {0, *drawing.object_ids}
        labels[np.isin(previous, list(locked))] = 0
        _obey(drawing, labels)
        for i in drawing.object_ids:
            if not (labels == i).any():
                raise PromptError(
                    f"Nothing is left of object {i} on frame {t}. Draw a scribble on it; or, if it "
                    "is gone from there on, end it."
                )
        said = {
            "prompts": [{"kind": each.kind, **asdict(each)} for each in drawing.prompts],
            "interactor": plan_of(self._interactor),
        }
        labels.setflags(write=False)
        return MaskPrompt(t, labels, drawing.object_ids), said


def _without_strays(drawing: Drawing, previous: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the labels so far without masks that are somewhere else than their object.

    A mask is if all that is drawn on the object lies farther from it than it is
    wide, and nothing is said of the mask itself: the object is made anew.
    """
    kept = previous
    for i in set(drawing.object_ids) - drawing.negatives.keys():
        mask, drawn = previous == i, drawing.inside(i)
        if i in drawing.boxes:
            drawn = drawn.copy()
            drawn[drawing.boxes[i]] = True
        if mask.any() and drawn.any():
            distance = ndimage.distance_transform_edt(~mask)[drawn].min()
            if distance > np.sqrt(np.count_nonzero(mask)):
                kept = np.where(mask, np.uint16(0), kept)
    return kept


def _obey(drawing: Drawing, labels: NDArray[np.uint16]) -> None:
    """Give strokes the pixels they lie on, and take those of negative ones."""
    for i, negative in drawing.negatives.items():
        labels[negative & (labels == i)] = 0
    strokes = drawing.positive > 0
    labels[strokes] = drawing.positive[strokes]

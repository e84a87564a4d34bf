"""What the user says in a session: masks, rough marks, and what is right, over or none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import index
from typing import TYPE_CHECKING, ClassVar, SupportsIndex

from psygnal import Signal

from napari_vos.errors import PromptError
from napari_vos.prompts import box_prompt, mask_prompt, point_prompt, scribble_prompt
from napari_vos.session import actions, objects
from napari_vos.session.engine import EngineChoice
from napari_vos.session.interaction import INTERACTOR, Interaction
from napari_vos.session.turns import Turns
from napari_vos.session.view import SessionView

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike

    from napari_vos.frames import FrameStack
    from napari_vos.prompts import DrawnPrompt
    from napari_vos.session.ledger import Ledger

_log = logging.getLogger(__name__)


class SessionPrompts(SessionView):
    """A session that can be told something, one step that can be undone at a time.

    Parameters
    ----------
    ledger
        The session's files and history.
    frames
        The images.
    interactor
        What makes masks of what is drawn.
    """

    frame_written: ClassVar[Signal] = Signal(int)
    """The labels of frame t have changed."""
    prompts_changed: ClassVar[Signal] = Signal()
    """Marks, locks or what can be undone have changed."""
    warned: ClassVar[Signal] = Signal(str)
    """Something the user should know before it happens."""

    def __init__(self, ledger: Ledger, frames: FrameStack, interactor: EngineChoice) -> None:
        super().__init__(ledger)
        self.frames = frames
        self._interaction = Interaction(ledger, frames, interactor)
        self._turns = Turns(frames.name)

    def add_mask(self, t: int, labels: ArrayLike, complete: bool = False) -> None:
        """Say where objects are on frame `t`.

        Objects that aren't in `labels` stay as they are, unless the frame is
        complete. Where masks are painted they win over everything.

        Parameters
        ----------
        t
            Frame index.
        labels
            (Y, X), any integer dtype; 0 where nothing is said, else object ids from
            1 to 65535.
        complete
            All objects of this frame are in `labels`: others are gone here.

        Raises
        ------
        PromptError
            If `t` lies outside the stack, the shape isn't the stack's, or the labels
            can't be used.
        """
        prompt = mask_prompt(self._check_frame(t), labels, complete=complete)
        if prompt.labels.shape != self._ledger.shape:
            raise PromptError(
                f"The prompt on frame {t} has shape {prompt.labels.shape}; the frames of "
                f"'{self.frames.name}' have {self._ledger.shape}. Paint on a layer of the same "
                "size as the images."
            )
        self._act(lambda: actions.add_mask(self._ledger, prompt))

    def add_scribbles(
        self,
        t: int,
        scribbles: Mapping[int, ArrayLike | Iterable[ArrayLike]],
        *,
        negative: Mapping[int, ArrayLike | Iterable[ArrayLike]] | None = None,
        width: float = 3.0,
    ) -> None:
        """Draw strokes on objects of frame `t`; the interactor makes masks of them.

        The masks are those of a user frame, as if they were painted. Strokes are
        obeyed pixel by pixel; an object that has a mask there is corrected.

        Parameters
        ----------
        t
            Frame index.
        scribbles
            Strokes by the object they lie on: one (N, 2) of (y, x), or several.
        negative
            Strokes by the object they are no part of. They are drawn after the
            others, and win over them.
        width
            Of the strokes, in pixels.

        Raises
        ------
        PromptError
            If something can't be used, lies outside the image, or says only
            where an object isn't that has no mask there.
        """
        drawn = [scribble_prompt(t, i, lines, width=width) for i, lines in scribbles.items()]
        for i, lines in (negative or {}).items():
            drawn.append(scribble_prompt(t, i, lines, width=width, positive=False))
        self.draw(drawn)

    def add_points(
        self,
        t: int,
        points: Mapping[int, ArrayLike],
        *,
        negative: Mapping[int, ArrayLike] | None = None,
        radius: float = 2.0,
    ) -> None:
        """Click on objects of frame `t`; see `add_scribbles`.

        Parameters
        ----------
        t
            Frame index.
        points
            Clicks by the object they lie on: one (y, x), or several (N, 2).
        negative
            Clicks by the object they are no part of.
        radius
            Of the disc that a click is taken for, in pixels.

        Raises
        ------
        PromptError
            As `add_scribbles`.
        """
        drawn = [point_prompt(t, i, some, radius=radius) for i, some in points.items()]
        for i, some in (negative or {}).items():
            drawn.append(point_prompt(t, i, some, radius=radius, positive=False))
        self.draw(drawn)

    def add_boxes(self, t: int, boxes: Mapping[int, ArrayLike]) -> None:
        """Draw boxes around objects of frame `t`; see `add_scribbles`.

        Parameters
        ----------
        t
            Frame index.
        boxes
            (top, left, bottom, right) by the object that lies within.

        Raises
        ------
        PromptError
            As `add_scribbles`.
        """
        self.draw([box_prompt(t, i, box) for i, box in boxes.items()])

    def draw(
        self, prompts: Iterable[DrawnPrompt], *, is_superseded: Callable[[], bool] | None = None
    ) -> bool:
        """Take in scribbles, points and boxes of one frame together; see `add_scribbles`.

        Parameters
        ----------
        prompts
            In the order in which they were drawn: where two contradict each
            other, the later one wins.
        is_superseded
            Asked when the masks are made: if they aren't wanted any more, nothing
            is changed.

        Returns
        -------
        bool
            Whether the masks were taken in.

        Raises
        ------
        PromptError
            As `add_scribbles`.
        """
        drawn = tuple(prompts)
        for prompt in drawn:
            self._check_frame(prompt.t)
        is_taken = True

        def action() -> frozenset[int]:
            nonlocal is_taken
            masks, said = self._interaction.segment(drawn)
            if is_superseded is not None and is_superseded():
                is_taken = False
                return frozenset()
            return actions.add_mask(self._ledger, masks, "draw", **said)

        self._act(action)
        return is_taken

    def choose_interactor(
        self,
        interactor: str = INTERACTOR,
        *,
        config: object | None = None,
        weights: str | Path | None = None,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        """Let something else make masks of what will be drawn.

        Parameters
        ----------
        interactor
            "compact", "random_walker", which needs no weights, or "mivos".
        config
            The interactor's configuration (`napari_vos.configs`); None for the default.
        weights
            Weights file or registered name; None for the interactor's own.
        device, precision
            Where and how it computes.
        """
        choice = EngineChoice(interactor, config, weights, device, precision)
        if choice == self._interaction.choice:
            return  # what is loaded stays loaded
        with self._turns.changing():
            self._ledger.folder.describe(interactor=choice.to_json())
            self._interaction = Interaction(self._ledger, self.frames, choice)

    def accept(
        self, frames: SupportsIndex | Iterable[int], object_ids: Iterable[int] | None = None
    ) -> None:
        """Say that results are right: no later round changes them.

        Parameters
        ----------
        frames
            Frame index or several.
        object_ids
            The objects that are right: where they are on these frames, they keep
            their pixels and gain none. None: all of these frames is right, the
            background too.

        Raises
        ------
        PromptError
            If a frame lies outside the stack or an object isn't known.
        """
        several = [frames] if isinstance(frames, SupportsIndex) else frames
        chosen = [self._check_frame(index(t)) for t in several]
        ids = None if object_ids is None else [self._check_object(i) for i in object_ids]
        self._act(lambda: actions.accept(self._ledger, chosen, ids))

    def end_object(self, object_id: int, t: int) -> None:
        """Say that an object is gone from frame `t` on, until its next user frame.

        Raises
        ------
        PromptError
            If the object isn't known or `t` lies outside the stack.
        """
        end, known = self._check_frame(t), self._check_object(object_id)
        self._act(lambda: objects.end_object(self._ledger, known, end))

    def delete_object(self, object_id: int) -> None:
        """Delete an object from all frames, with all that was said of it.

        Raises
        ------
        PromptError
            If the object isn't known.
        """
        known = self._check_object(object_id)
        self._act(lambda: objects.delete_object(self._ledger, known))

    def merge_objects(
        self, object_id: int, other_id: int, *, frames: tuple[int, int] | None = None
    ) -> None:
        """Say that object `other_id` is a part of `object_id`, or is that object.

        The masks stay as they are, under one id, and nothing of them runs again. Frames
        on which the other was marked are user frames of the object.

        Parameters
        ----------
        object_id
            The object that stays.
        other_id
            The object that becomes a part of it.
        frames
            First and last frame, inclusive, on which they are one; elsewhere the other
            stays an object. None: everywhere, and the other is no object any more.

        Raises
        ------
        PromptError
            If an object isn't known, both are the same, or the range lies outside the
            stack or doesn't hold the other.
        """
        pair = objects.Pair(self._check_object(object_id), self._check_object(other_id))
        if pair.one == pair.other:
            raise PromptError(f"Object {pair.one} can't be merged with itself. Name two objects.")
        chosen = self._check_range(frames)
        if not any(pair.other in self._ledger.index(t).entries for t in chosen):
            raise PromptError(
                f"Object {pair.other} isn't on any of the frames {chosen[0]}-{chosen[-1]}: there "
                f"is nothing to merge with object {pair.one}. Give the first and the last frame "
                "where it is."
            )
        self._act(lambda: objects.merge_objects(self._ledger, pair, chosen))

    def split_object(self, object_id: int, t: int, parts: Sequence[ArrayLike] | None = None) -> int:
        """Say that an object is two, and how they part on frame `t`.

        The frame becomes a user frame of both, from which they are propagated. Together
        they have the pixels that the object had.

        Parameters
        ----------
        object_id
            The object; it keeps the first part.
        t
            Frame index.
        parts
            Two (Y, X) masks, 0 where they aren't; strokes are enough, since what lies
            in neither goes to the nearer one. None: its two largest connected parts,
            the larger one first.

        Returns
        -------
        int
            The id of the second part.

        Raises
        ------
        PromptError
            If the object isn't on that frame or is in one piece, or these aren't two
            parts of it.
        """
        frame, known = self._check_frame(t), self._check_object(object_id)
        new_ids = []

        def action() -> frozenset[int]:
            new_id, changed = objects.split_object(self._ledger, known, frame, parts)
            new_ids.append(new_id)
            return changed

        self._act(action)
        return new_ids[0]

    def undo(self) -> None:
        """Take back the last prompt, round or other action, bit for bit.

        Raises
        ------
        PromptError
            If there is nothing to undo.
        """
        self._act(lambda: actions.undo(self._ledger))

    def redo(self) -> None:
        """Do again what was undone last.

        Raises
        ------
        PromptError
            If there is nothing to redo.
        """
        self._act(lambda: actions.redo(self._ledger))

    # What goes on behind

    def _act(self, action: Callable[[], frozenset[int]]) -> None:
        """Do an action while nothing else goes on, and tell."""
        with self._turns.changing():
            changed = action()
            self._keep_budget()
        self._tell_written(changed)
        self.prompts_changed.emit()

    def _keep_budget(self) -> None:
        steps = self._ledger.steps_over_budget()
        if steps:
            self._warn(
                f"Undo takes more disk space than is allowed: the oldest {len(steps)} step(s) can "
                "no longer be undone."
            )
            self._ledger.note("forget", steps=len(steps))

    def _warn(self, message: str) -> None:
        if not self.warned:  # nobody listens
            _log.warning("%s", message)
        self.warned.emit(message)

    def _tell_written(self, changed: Iterable[int]) -> None:
        for t in sorted(changed):
            self.frame_written.emit(t)

"""From what is pending to a round that can run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from napari_vos.errors import FramesError, PromptError
from napari_vos.session.engine import plan_of, with_less_memory
from napari_vos.session.estimate import RoundEstimate, estimate_round
from napari_vos.session.marks import object_ids
from napari_vos.session.round import begin_round
from napari_vos.session.spans import Direction, Leg, Reach, plan_legs

if TYPE_CHECKING:
    from napari_vos.engines.base import Propagator
    from napari_vos.frames import FrameStack
    from napari_vos.session.engine import EngineChoice
    from napari_vos.session.history import Round
    from napari_vos.session.ledger import Ledger


class RoundPlanner:
    """Opens rounds, and keeps the engine they run on.

    Parameters
    ----------
    ledger
        The session.
    frames
        The images.
    choice
        The engine asked for.
    memory_bytes
        The user's budget; None for what is free.
    """

    def __init__(
        self,
        ledger: Ledger,
        frames: FrameStack,
        choice: EngineChoice,
        *,
        memory_bytes: int | None = None,
    ) -> None:
        self._memory_bytes = memory_bytes
        self._ledger = ledger
        self._frames = frames
        self._choice = choice
        self._propagator: Propagator | None = None
        self._made_of: EngineChoice | None = None

    @property
    def asked(self) -> EngineChoice:
        """The engine asked for."""
        return self._choice

    @property
    def choice(self) -> EngineChoice:
        """The engine asked for; weights adapted to the stack stand for those asked for."""
        fields = self._choice.to_json()
        adapted = self._ledger.history.state.adapted.get((fields["name"], fields["weights"]))
        return self._choice if adapted is None else replace(self._choice, weights=adapted)

    def choose(self, choice: EngineChoice) -> None:
        """Take another engine; it is made when it is needed."""
        self._choice = choice
        self._propagator = None

    def legs(self, reach: Reach) -> tuple[Leg, ...]:
        """Return what is pending within reach.

        Raises
        ------
        FramesError
            If the stack has one frame alone.
        PromptError
            If nothing was marked yet, or the range isn't one of the stack.
        """
        n_frames, name = self._ledger.n_frames, self._frames.name
        if n_frames == 1:
            raise FramesError(
                f"'{name}' has one frame alone: there is nothing to propagate to. Choose a "
                "time-lapse."
            )
        if not object_ids(self._ledger.history.state.marks):
            raise PromptError(
                f"No object is marked on '{name}' yet. Paint the objects of at least one frame."
            )
        if reach.frames is not None and not 0 <= reach.frames[0] <= reach.frames[1] < n_frames:
            raise PromptError(
                f"The range {reach.frames[0]}-{reach.frames[1]} isn't one of '{name}' "
                f"(0-{n_frames - 1}). Give the first and the last frame."
            )
        if reach.direction not in get_args(Direction):
            raise PromptError(
                f"There is no direction '{reach.direction}'; expected "
                f"{', '.join(get_args(Direction))}."
            )
        return self.pending(reach)

    def pending(self, reach: Reach) -> tuple[Leg, ...]:
        """Return what is pending within reach, if anything."""
        state, n_frames = self._ledger.history.state, self._ledger.n_frames
        return plan_legs(state.marks, state.arms, n_frames, reach, can_follow=self._can_follow)

    def estimate(self, reach: Reach) -> RoundEstimate:
        """Return what the round will take; raises what `legs` does.

        The batches of a new round, and what it keeps to be faster, shrink until
        they fit the memory. One that goes on keeps those it has begun with.
        """
        legs = self.legs(reach)
        engine = self._engine(reach) if legs else None
        estimate = estimate_round(self._ledger, legs, engine, self._memory_bytes)
        while engine and estimate.memory > estimate.memory_limit:
            plan = with_less_memory(plan_of(engine))
            if plan is None or self._interrupted(reach):
                break
            engine = self._create(plan)
            estimate = estimate_round(self._ledger, legs, engine, self._memory_bytes)
        return estimate

    def open(self, reach: Reach) -> tuple[Round, Propagator]:
        """Return the round that runs what is pending within reach, and its engine.

        That is the interrupted one if it was asked for in the same words, on the
        engine it has begun with.
        """
        current, propagator = self._interrupted(reach), self._engine(reach)
        if current is None:
            legs = self.legs(reach)
            current = begin_round(self._ledger, legs, reach, self.choice, propagator, self._frames)
            return current, propagator
        self._ledger.note("resume", round=current.n, engine=plan_of(propagator))
        return current, propagator

    def _interrupted(self, reach: Reach) -> Round | None:
        current = self._ledger.history.interrupted
        if current is None or current.line["choice"] != self.choice.to_json():
            return None
        return current if Reach.from_json(current.line) == reach else None

    def _can_follow(self, leg: str) -> bool:
        """Return whether a leg was run by the same engine: the states of others are foreign."""
        line = self._ledger.history.round_of(leg).line
        return bool(line["choice"]["name"] == self._choice.name)

    def _engine(self, reach: Reach) -> Propagator:
        """Return the engine for a round: that of the interrupted one if it goes on."""
        current = self._interrupted(reach)
        plan = None if current is None else current.line["engine"]
        made = self._propagator if self._made_of == self.choice else None
        if made is None or (plan is not None and plan_of(made) != plan):
            made = self._create(plan)
        return made

    def _create(self, plan: Mapping[str, object] | None) -> Propagator:
        self._made_of = self.choice
        own = self._made_of.within(self._ledger.folder.path)
        self._propagator = own.create(self._frames, plan=plan)
        return self._propagator

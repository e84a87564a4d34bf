"""The session: rounds of prompt, propagation and correction on one stack."""

from __future__ import annotations

import uuid
from collections.abc import Generator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from psygnal import Signal
from tqdm import tqdm

from napari_vos.errors import NapariVosError, PromptError, StoreError
from napari_vos.session.adaptation import AdaptOutcome, StackAdaptation
from napari_vos.session.engine import EngineChoice
from napari_vos.session.estimate import RoundEstimate
from napari_vos.session.images import describe_frames, find_frames
from napari_vos.session.interaction import INTERACTOR
from napari_vos.session.ledger import Ledger
from napari_vos.session.newcomers import SessionNewcomers
from napari_vos.session.planner import RoundPlanner
from napari_vos.session.replay import ReplayReport, replay
from napari_vos.session.round import Finish, Progress, run_round
from napari_vos.session.settings import SessionSettings
from napari_vos.session.spans import Direction, Reach
from napari_vos.session.survey import Search, Survey
from napari_vos.session.turns import Phase
from napari_vos.store.folder import SessionFolder

if TYPE_CHECKING:
    from napari_vos.engines.base import Span
    from napari_vos.frames import FrameStack
    from napari_vos.session.history import Round
    from napari_vos.training.adapt import AdaptProgress

UNDO_BYTES = 4 * 2**30
"""Default limit of what is kept on disk for undo."""


class Session(SessionNewcomers):
    """Prompts, propagation and results on one stack of images.

    A round may run in one other thread while this one reads; prompts and undo
    wait for its end. Signals are emitted from the thread that works.

    Parameters
    ----------
    frames
        The images.
    engine
        Name of the engine.
    config
        The engine's configuration (`napari_vos.configs`); None for the default.
    weights
        Weights file or registered name; None for the engine's own.
    device, precision
        Where and how engine and interactor compute.
    interactor
        What makes masks of scribbles, points and boxes: "compact", "random_walker" or
        "mivos".
        One that needs weights takes them from `choose_interactor`.
    folder
        A new or empty folder in which all is kept; None for a temporary one that
        is deleted with the session.
    undo_bytes
        How many bytes the versions kept for undo may take. Beyond that the oldest
        steps can no longer be undone, after a warning.
    memory_bytes
        How many bytes of memory a round may take on the device; None for what is
        free. Batches shrink to keep within it, and if they can't there is a warning.

    Raises
    ------
    StoreError
        If the folder can't be made, isn't empty, or is open elsewhere.

    Examples
    --------
    >>> session = Session(FrameStack(images, axes="TYX"))  # doctest: +SKIP
    >>> session.add_mask(0, masks)  # doctest: +SKIP
    >>> session.run()  # doctest: +SKIP
    >>> session.labels[5]  # doctest: +SKIP
    """

    round_started: ClassVar[Signal] = Signal()
    round_finished: ClassVar[Signal] = Signal(Finish)
    """A round has stopped, and why."""
    estimated: ClassVar[Signal] = Signal(RoundEstimate)
    """What the round that is about to start will take."""

    def __init__(
        self,
        frames: FrameStack,
        *,
        engine: str = "compact",
        config: object | None = None,
        weights: str | Path | None = None,
        device: str = "auto",
        precision: str = "auto",
        interactor: str = INTERACTOR,
        folder: str | Path | None = None,
        undo_bytes: int = UNDO_BYTES,
        memory_bytes: int | None = None,
    ) -> None:
        settings = SessionSettings(
            EngineChoice(engine, config, weights, device, precision),
            EngineChoice(interactor, device=device, precision=precision),
        )
        about = {"id": uuid.uuid4().hex, "frames": describe_frames(frames), **settings.to_json()}
        made = SessionFolder.create(None if folder is None else Path(folder), about)
        self._open(frames, settings, made, undo_bytes, memory_bytes)

    def _open(
        self,
        frames: FrameStack,
        settings: SessionSettings,
        folder: SessionFolder,
        undo_bytes: int,
        memory_bytes: int | None,
    ) -> None:
        super().__init__(Ledger(folder, undo_bytes=undo_bytes), frames, settings.interactor)
        self._planner = RoundPlanner(
            self._ledger, frames, settings.engine, memory_bytes=memory_bytes
        )
        self._adaptation: StackAdaptation | None = None

    @classmethod
    def load(
        cls,
        folder: str | Path,
        frames: FrameStack | None = None,
        *,
        undo_bytes: int = UNDO_BYTES,
        memory_bytes: int | None = None,
    ) -> Self:
        """Open the session in `folder` and go on with it.

        Whatever ended it last time, all finished frames are there. A round that
        was interrupted goes on with `resume` or `propagate`.

        Parameters
        ----------
        folder
            A session's folder.
        frames
            The images; None to open them from where they were.
        undo_bytes, memory_bytes
            See `Session`.

        Raises
        ------
        StoreError
            If there is no session, it is open elsewhere or damaged, or the images
            aren't those it was made on.
        """
        opened = SessionFolder.open(Path(folder))
        try:
            found = find_frames(opened.about["frames"], frames, opened.path)
            session = cls.__new__(cls)
            settings = SessionSettings.from_json(opened.about)
            session._open(found, settings, opened, undo_bytes, memory_bytes)
        except NapariVosError:
            opened.close()
            raise
        return session

    # Rounds

    def choose_engine(
        self,
        engine: str = "compact",
        *,
        config: object | None = None,
        weights: str | Path | None = None,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        """Take another engine for the rounds to come; see `Session`.

        What another engine has begun and not finished begins anew at its mark.
        """
        choice = EngineChoice(engine, config, weights, device, precision)
        with self._turns.changing():
            self._ledger.folder.describe(engine=choice.to_json())
            self._planner.choose(choice)

    def propagate(
        self, *, frames: tuple[int, int] | None = None, direction: Direction = "both"
    ) -> Generator[Progress]:
        """Propagate what is pending, and yield after each finished frame.

        It may be closed at any yield; what was yielded is kept. The next call
        with the same range goes on from there; after any other action it goes on in a
        round of its own. Nothing is yielded if nothing is pending.

        Parameters
        ----------
        frames
            First and last frame to predict, inclusive; None for all. What lies
            outside stays pending.
        direction
            "forward" or "backward" runs only that way from the marks.

        Raises
        ------
        PromptError
            If nothing was marked yet, or the range lies outside the stack.
        FramesError
            If the stack has one frame alone.
        DeviceError
            If an engine that holds all objects at once can't hold as many.
        StoreError
            If the disk is full or can't be written; finished frames are kept.
        NapariVosError
            If another round is running.
        """
        self._turns.take(Phase.RUNNING)
        current, finish = None, Finish.FAILED
        try:
            reach = Reach(frames, direction)
            if not self._planner.legs(reach):
                return
            self._tell_before(self._planner.estimate(reach))
            current, propagator = self._planner.open(reach)
            self._describe(reach=reach.to_json())
            self.round_started.emit()
            with closing(run_round(self._ledger, current, propagator)) as steps:
                for step in steps:
                    self._tell_written(step.changed)
                    yield step.progress
            finish = Finish.COMPLETED
        except GeneratorExit:
            finish = Finish.CANCELLED
            raise
        finally:
            if current is not None:
                self._close_round(current, finish)
            self._turns.give_back()
            if current is not None:
                self.round_finished.emit(finish)

    def resume(self) -> Generator[Progress]:
        """Go on with the round that was interrupted last.

        Raises
        ------
        PromptError
            If no round was interrupted, or something else was done since.
        """
        current = self._ledger.history.interrupted
        if current is None:
            raise PromptError("There is no interrupted round to go on with. Use propagate.")
        reach = Reach.from_json(current.line)
        return self.propagate(frames=reach.frames, direction=reach.direction)

    def follow_newcomers(
        self,
        *,
        every: int = 5,
        frames: tuple[int, int] | None = None,
        score: float = 0.4,
        overlap: float = 0.5,
    ) -> Generator[Progress]:
        """Propagate what is pending, then find newcomers frame by frame and propagate them.

        Yields after each finished frame, as `propagate`, and after each that was looked at.
        It may be closed at any yield; the next call goes on from there. Frames that were
        looked at in the same way aren't again, until the user has said something else.

        Takes and raises what `find_newcomers` and `propagate` do.
        """
        search = Search(every, score, overlap)
        unchecked = self.unchecked_frames(search, frames)
        if self.object_ids:
            yield from self.propagate(frames=frames)
        nothing = seen = Survey((), (), {}, {})
        for index, t in enumerate(unchecked, 1):
            for survey in self.survey(search, frames=(t, t)):
                seen += survey
            yield Progress(t, (), {}, index, len(unchecked))
            if seen.newcomers:
                self.add_newcomers(seen)
                seen = nothing
                yield from self.propagate(frames=frames)
        self.add_newcomers(seen)

    def run(self, *, frames: tuple[int, int] | None = None, direction: Direction = "both") -> None:
        """Propagate what is pending, with a progress bar on standard error.

        Takes and raises what `propagate` does.
        """
        with (
            closing(self.propagate(frames=frames, direction=direction)) as results,
            tqdm(desc=self.frames.name, unit="frame") as bar,
        ):
            for result in results:
                bar.total = result.n_total
                bar.update(result.n_done - bar.n)

    @property
    def pending(self) -> tuple[Span, ...]:
        """What `propagate` will run; nothing if nothing is marked."""
        return tuple(leg.span for leg in self._planner.pending(Reach()))

    def estimate(
        self, *, frames: tuple[int, int] | None = None, direction: Direction = "both"
    ) -> RoundEstimate:
        """Return what `propagate` will take in memory, time and disk.

        Takes and raises what `propagate` does.
        """
        return self._planner.estimate(Reach(frames, direction))

    # Adapting

    def adapt(self, *, minutes: float = 5.0, seed: int = 0) -> Generator[AdaptProgress]:
        """Adapt the engine's weights to this stack, and yield after each step.

        "mast" learns from the images alone, "compact" from the frames the user has
        marked. Where two of these have an object in common, the masks of one are
        propagated to the other before and after; where there is no such pair, those of the
        frame with most objects some frames away and back to where they came from. The
        adapted weights are only kept if J isn't lower; where nothing is marked, if the loss
        has fallen. Kept, they lie in the session's folder and stand for those asked for:
        what was propagated is pending again, and `undo` goes back.

        It may be closed at any yield; the best weights until then are judged in the same
        way. If an error ends the last comparison, they are kept.

        Parameters
        ----------
        minutes
            How long to learn.
        seed
            Of all random choices.

        Raises
        ------
        PromptError
            If "compact" is to learn and nothing is marked.
        FramesError
            If the stack has one frame alone, or is constant.
        DeviceError
            If the device isn't there, or memory is too short.
        NapariVosError
            If the engine can't be adapted, its weights can't be used, or a round is running.
        """
        self._turns.take(Phase.ADAPTING)
        try:
            self._adaptation = StackAdaptation(
                self._ledger,
                self.frames,
                choice=self._planner.asked,
                start_from=self._planner.choice,
                minutes=minutes,
                seed=seed,
            )
            with closing(self._adaptation.run()) as steps:
                yield from steps
        finally:
            self._turns.give_back()
            self.prompts_changed.emit()

    @property
    def adapted(self) -> AdaptOutcome | None:
        """What has come of the latest `adapt`; None until it has learned."""
        return None if self._adaptation is None else self._adaptation.outcome

    # The folder

    def replay(self, out: str | Path | None = None) -> ReplayReport:
        """Do everything again in a fresh session, and compare; see `replay.replay`."""
        return replay(self.folder, self.frames, out)

    def save(self, folder: str | Path) -> None:
        """Write a copy of the session to `folder`; this one goes on where it is.

        An earlier copy of this session there is replaced.

        Raises
        ------
        StoreError
            If the folder holds anything else or can't be written.
        """
        self._ledger.copy_to(Path(folder))

    def place(self, placement: Mapping[str, object]) -> None:
        """Keep where a window shows the images, ready for JSON; it means nothing here."""
        with self._turns.changing():
            self._describe(placement=placement)

    def close(self) -> None:
        """Release the folder; a temporary one is deleted."""
        if self._turns.phase is not Phase.CLOSED:
            self._turns.take(Phase.CLOSED)
            self._ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What goes on behind

    def _describe(self, **fields: object) -> None:
        """Change what session.json says, unless it says so already."""
        folder = self._ledger.folder
        if {**folder.about, **fields} != folder.about:
            folder.describe(**fields)

    def _close_round(self, current: Round, finish: Finish) -> None:
        # The line only tells: a full disk must not hide why the round has stopped.
        with suppress(StoreError):
            self._ledger.note("finish", round=current.n, reason=finish)
            self._keep_budget()

    def _tell_before(self, estimate: RoundEstimate) -> None:
        estimate.refuse_too_many_objects()
        self.estimated.emit(estimate)
        if self.frames.normalization["low"] == self.frames.normalization["high"]:
            self._warn(
                f"The sampled frames of '{self.frames.name}' are constant or hold no finite value: "
                "there is nothing to follow objects by. Check that these are the right images."
            )
        if estimate.memory > estimate.memory_limit:
            self._warn(
                f"This run may take {estimate.memory / 1e6:.0f} MB of memory, and "
                f"{estimate.memory_limit / 1e6:.0f} MB may be used. Close other programs or allow "
                "more; finished frames are kept and the run can be continued."
            )
        if estimate.disk > estimate.free_disk:
            self._warn(
                f"This run may take {estimate.disk / 1e9:.1f} GB in '{self.folder}', and "
                f"{estimate.free_disk / 1e9:.1f} GB are free there. If the disk gets full, "
                "finished frames are kept and the run can be continued."
            )

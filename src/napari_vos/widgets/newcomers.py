"""The part of the Propagate widget for newcomers: objects that appear later, and their parents."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import (
    ComboBox,
    Container,
    FileEdit,
    FloatSlider,
    PushButton,
    Select,
    SpinBox,
)
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog

from napari_vos._napari.newcomers import Suggestions
from napari_vos._napari.notify import told
from napari_vos._napari.settings import read_setting
from napari_vos._napari.tracks import show_tracks
from napari_vos.session import Finish, Progress, Session
from napari_vos.session.survey import Search, Survey
from napari_vos.widgets.form import chosen_path
from napari_vos.widgets.layout import make_row

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_vos._napari.desk import Desk
    from napari_vos._napari.run import Run
    from napari_vos.session.lineage import Parentage
    from napari_vos.widgets.steps import Aim


class Mode(StrEnum):
    """What becomes of newcomers after each propagation."""

    OFF = "off"
    SUGGEST = "suggest"
    AUTOMATIC = "automatic"


class NewcomersPanel(Container):  # type: ignore[type-arg]
    """Finds objects that nobody follows yet, and shows who comes from whom.

    Parameters
    ----------
    viewer
        The window.
    desk
        What does the work.
    aim
        Returns what it is about; None if there is no open session.
    tell
        Shows a line.
    frames
        Returns the first and the last frame to predict; None for all.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        desk: Desk,
        aim: Callable[[], Aim | None],
        tell: Callable[[str], None],
        frames: Callable[[], tuple[int, int] | None],
    ) -> None:
        self.mode = ComboBox(
            label="newcomers",
            choices=[str(each) for each in Mode],
            tooltip="After each propagation look for objects that nobody follows: show them for "
            "acceptance, or follow them at once, both ways in time.",
        )
        self.every = SpinBox(
            label="every", min=1, max=1000, value=5, tooltip="On every how many frames to look."
        )
        self.score = FloatSlider(
            label="score",
            min=0.05,
            max=0.95,
            step=0.05,
            value=Search.score,
            tooltip="What is less certain is no newcomer.",
        )
        self.weights = FileEdit(
            label="weights of 'cells'",
            nullable=True,
            value=None,
            tooltip="A weights file of the detector; empty for those that come with the plugin.",
        )
        self.find = PushButton(text="Find now", tooltip="Look for newcomers, and show them.")
        self.accept = PushButton(
            text="Accept newcomers",
            tooltip="Make objects of what is left in the layer 'newcomers', and propagate them. "
            "Erase there what is none.",
        )
        self.propose = PushButton(
            text="Propose parents", tooltip="List objects that begin beside one that has ended."
        )
        self.accept_parents = PushButton(
            text="Accept parents", tooltip="Accept the parents that are chosen in the list."
        )
        self.tracks = PushButton(
            text="Show tracks", tooltip="Show tracks with their accepted parents as a layer."
        )
        self.export = PushButton(
            text="Export tracks…",
            tooltip="Write masks and res_track.txt, as the Cell Tracking Challenge has them.",
        )
        self.parents = Select(
            choices=[],
            visible=False,
            tooltip="Who may come from whom. All are chosen at first; click to choose one, with "
            "Ctrl to add or to leave out.",
        )
        rows = [
            make_row(self.find, self.accept),
            make_row(self.propose, self.accept_parents),
            make_row(self.tracks, self.export),
        ]
        fields: Container[Any] = Container(
            widgets=[self.mode, self.every, self.score, self.weights]
        )
        super().__init__(widgets=[fields, *rows, self.parents], labels=False)
        self._viewer, self._desk, self._aim, self._tell = viewer, desk, aim, tell
        self._frames = frames
        self._suggestions: Suggestions | None = None
        self._is_due = False
        self.find.clicked.connect(self._suggest)
        self.accept.clicked.connect(self._accept)
        self.propose.clicked.connect(self._propose)
        self.accept_parents.clicked.connect(self._accept_parents)
        self.tracks.clicked.connect(self._show_tracks)
        self.export.clicked.connect(self._choose_export)
        desk.begun.connect(self._listen)
        desk.ended.connect(self._go_on)
        self.fit()

    def fit(self) -> None:
        """Enable what can be pressed now."""
        can = self._aim() is not None and not self._desk.is_running
        for button in (self.find, self.propose, self.tracks, self.export):
            button.enabled = can
        is_shown = self._suggestions is not None and self._suggestions.is_there
        self.accept.enabled = can and is_shown
        self.accept_parents.enabled = can and bool(self.parents.choices)

    def _prepared(self) -> Callable[[Session], Search]:
        """Return what takes the chosen detector, in the worker, and gives the search."""
        search = Search(int(self.every.value), float(self.score.value))
        device = str(read_setting("propagation", "device", default="auto"))
        weights = chosen_path(self.weights)

        def prepare(session: Session) -> Search:
            session.choose_detector(weights=weights, device=device)
            return search

        return prepare

    def _listen(self, run: Run, _: str) -> None:
        """Hear whether it is a propagation that goes on."""
        self._is_due = False
        run.changed.connect(self._be_due)
        self.fit()

    def _be_due(self, _: object) -> None:
        self._is_due = True

    def _go_on(self, finish: Finish, _: str) -> None:
        """Look for newcomers after a propagation, if that is wanted."""
        is_due = self._is_due and finish is Finish.COMPLETED
        self._is_due = False
        mode = Mode(self.mode.value)
        if is_due and mode is not Mode.OFF:
            QTimer.singleShot(0, self._suggest if mode is Mode.SUGGEST else self._follow)
        self.fit()

    def _suggest(self) -> None:
        prepare = self._prepared()
        confirms = Mode(self.mode.value) is not Mode.OFF
        found: list[Survey] = []

        def look(session: Session) -> Generator[Progress]:
            search = prepare(session)
            seen = Survey((), (), {}, {})
            n_frames = len(session.frames_to_survey(search))
            for index, survey in enumerate(session.survey(search), 1):
                seen += survey
                yield Progress(survey.frames[0], (), {}, index, n_frames)
            if confirms:
                session.confirm_objects(seen)
            found.append(seen)

        def show(aim: Aim) -> None:
            self._forget()
            [survey] = found
            count = len(survey.newcomers)
            if count:
                self._suggestions = Suggestions(self._viewer, aim.image, survey)
                what = "1 newcomer" if count == 1 else f"{count} newcomers"
                self._tell(f"{what}: erase what is none, and accept.")
            else:
                self._tell(f"No newcomers on {len(survey.frames)} frames.")

        self._do(look, show)

    def _accept(self) -> None:
        if self._suggestions is None:
            return
        survey, frames = self._suggestions.accepted(), self._frames()

        def add(session: Session) -> Generator[Progress]:
            session.add_newcomers(survey)
            return session.propagate(frames=frames)

        def forget(_: Aim) -> None:
            self._forget()
            self._tell(f"{len(survey.newcomers)} newcomers are followed.")

        self._do(add, forget)

    def _follow(self) -> None:
        prepare, frames = self._prepared(), self._frames()
        known: list[int] = []

        def follow(session: Session) -> Generator[Progress]:
            search = prepare(session)
            known.append(len(session.object_ids))
            return session.follow_newcomers(every=search.every, frames=frames, score=search.score)

        def count(aim: Aim) -> None:
            self._tell(f"{len(aim.session.object_ids) - known[0]} newcomers are followed.")

        self._do(follow, count)

    def _propose(self) -> None:
        found: list[Parentage] = []

        def show(_: Aim) -> None:
            self._offer(found)
            if not found:
                self._tell("Nothing begins beside an end.")

        self._do(lambda session: found.extend(session.propose_parents()), show)

    def _accept_parents(self) -> None:
        parents: dict[int, int] = dict(self.parents.value)

        def forget(_: Aim) -> None:
            self._offer(())
            count = len(parents)
            self._tell("1 parent is accepted." if count == 1 else f"{count} parents are accepted.")

        self._do(lambda session: session.accept_parents(parents), forget)

    def _offer(self, proposed: Iterable[Parentage]) -> None:
        """List who may come from whom, children of one together, and choose all."""
        pairs = sorted(((each.child, each.parent) for each in proposed), key=lambda pair: pair[1])
        self.parents.choices = [
            (f"{child} from {parent}", (child, parent)) for child, parent in pairs
        ]
        self.parents.value = pairs
        self.parents.visible = bool(pairs)

    def _show_tracks(self) -> None:
        found: list[Any] = []

        def show(aim: Aim) -> None:
            with told():
                show_tracks(self._viewer, aim.image, *found[0])

        self._do(lambda session: found.append(session.tracks()), show)

    def _choose_export(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(self.native, "New folder for masks and tracks")
        if chosen:
            self.export_to(Path(chosen))

    def export_to(self, folder: Path) -> None:
        """Write masks and tracks into a new folder."""
        written = partial(self._tell, f"Written to '{folder}'.")
        self._do(lambda session: session.export_ctc(folder), lambda _: written())

    def _forget(self) -> None:
        if self._suggestions is not None:
            self._suggestions.remove()
            self._suggestions = None

    def _do(self, action: Callable[[Session], object], show: Callable[[Aim], None]) -> None:
        """Do something in a worker, and show what it has given if it is completed."""
        with told():
            aim = self._aim()
            if aim is None:
                return

            def then(finish: Finish) -> None:
                if finish is Finish.COMPLETED:
                    show(aim)
                self.fit()

            self._desk.step(aim.image, aim.session, action, done="", then=then)

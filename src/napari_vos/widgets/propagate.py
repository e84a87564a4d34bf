"""The dock widget that carries painted masks through time."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import Container, Label, ProgressBar, PushButton
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_vos._napari.folders import SUFFIX
from napari_vos._napari.job import DrawJob, Job, OpenSessions
from napari_vos._napari.keys import Keys
from napari_vos._napari.notify import told
from napari_vos._napari.run import Run
from napari_vos._napari.settings import prefer_reader
from napari_vos._napari.snapshot import (
    METADATA,
    UserFrames,
    show_frame,
    take_image,
    take_prompts,
)
from napari_vos.errors import FramesError
from napari_vos.session import Finish, Progress, Session
from napari_vos.widgets.draw import DrawPanel
from napari_vos.widgets.form import PropagateForm

if TYPE_CHECKING:
    import napari

    from napari_vos._napari.snapshot import ImageSnapshot
    from napari_vos._napari.strokes import Strokes, Taken

_ENDS = {
    Finish.CANCELLED: "Cancelled; finished frames are kept. Propagate goes on from there.",
    Finish.FAILED: "Stopped by an error; finished frames are kept.",
}


class PropagateWidget(Container):  # type: ignore[type-arg]
    """Propagate the masks of painted frames to all frames.

    Parameters
    ----------
    napari_viewer
        The window.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        prefer_reader(SUFFIX)
        form = PropagateForm()
        draw = DrawPanel(napari_viewer)
        propagate = PushButton(text="Propagate (Alt-R)", tooltip="Carry the masks through time.")
        cancel = PushButton(
            text="Cancel (Alt-C)", enabled=False, tooltip="Stop; finished frames are kept."
        )
        choose = PushButton(
            text="Open session…", tooltip="Show a session's folder and go on with it."
        )
        undo = PushButton(
            text="Undo (Alt-U)",
            enabled=False,
            tooltip="Take back the last run, then the masks it was given.",
        )
        redo = PushButton(text="Redo", enabled=False, tooltip="Do again what was undone last.")
        check = PushButton(
            text="Next frame to check (Alt-N)",
            enabled=False,
            tooltip="Go to the frame where a correction is worth most; again for the one after.",
        )
        bar = ProgressBar(label="", min=0, max=1, value=0)
        status = Label(value="")
        rows: list[Container[Any]] = [
            Container(widgets=row, layout="horizontal", labels=False)
            for row in ([propagate, cancel, check], [undo, redo, choose])
        ]
        super().__init__(widgets=[form.container, draw, *rows, bar, status], labels=False)
        self.form, self.draw, self.propagate, self.cancel = form, draw, propagate, cancel
        self.undo, self.redo, self.choose = undo, redo, choose
        self.check, self.bar, self.status = check, bar, status
        self.run: Run | None = None
        self._viewer = napari_viewer
        self._sessions = OpenSessions()
        self._drawing: DrawJob | None = None
        self._is_more_drawn = False
        self._checked: set[int] = set()
        self.form.new_labels.clicked.connect(self._add_labels)
        self.form.follow.changed.connect(self._follow)
        self.propagate.clicked.connect(self._start)
        self.cancel.clicked.connect(self._stop)
        self.undo.clicked.connect(partial(self._step, Session.undo, "Undone."))
        self.redo.clicked.connect(partial(self._step, Session.redo, "Done again."))
        self.choose.clicked.connect(self._choose_session)
        self.draw.requested.connect(self._draw)
        for kind, button in self.draw.new_layers.items():
            button.clicked.connect(partial(self._add_layer, kind))
        self.check.clicked.connect(self._check)
        buttons = {
            "Alt-R": propagate,
            "Alt-C": cancel,
            "Alt-U": undo,
            "Alt-M": draw.make,
            "Alt-N": check,
        }
        actions = {key: partial(_press, button) for key, button in buttons.items()}
        self._keys = Keys(napari_viewer, {**actions, "Alt-T": draw.toggle_negative})
        for field in (self.form.image, self.form.labels, self.form.folder):
            field.changed.connect(self._fit_buttons)
        self.native.destroyed.connect(self._leave)
        # This widget itself may be gone by then.
        sessions = self._sessions
        self.native.destroyed.connect(lambda *_: sessions.close())

    def reset_choices(self, *_: object) -> None:
        """Offer the layers that are there now."""
        super().reset_choices()
        if hasattr(self, "form"):
            self.form.fit_range()

    def _start(self) -> None:
        with told():
            job = self._take_job()
            self._checked.clear()
            self._begin(job.image, partial(self._sessions.run, job), "Preparing…", "Done.")

    def _draw(self, again: bool) -> None:
        """Make masks of what is drawn; of all of it, when what goes on has ended."""
        if self._is_running:
            self._is_more_drawn = True
            if self._drawing is not None:
                self._drawing.superseded.set()
            return
        with told():
            image = take_image(self.form.image.value)
            found = self.draw.read(self.form.image.value, image, again=again)
            if found is None:
                return
            strokes, taken = found
            job = DrawJob(image, taken.drawings, self.draw.chosen, self.form.options, self._folder)
            self._drawing = job
            self._begin(image, partial(self._sessions.draw, job), "Making masks…", "Masks made.")
            if self.run is not None:
                self.run.finished.connect(partial(self._keep_drawn, job, strokes, taken))

    def _keep_drawn(self, job: DrawJob, strokes: Strokes, taken: Taken, finish: Finish) -> None:
        self._drawing = None
        # What was refused isn't tried again with each stroke to come.
        if job.done.is_set() or finish is Finish.FAILED:
            strokes.keep(taken)
        if job.done.is_set():
            self.form.user_frames.value = str(UserFrames.DRAWN)

    def _step(self, action: Callable[[Session], None], done: str) -> None:
        with told():
            session = self._find_session()
            if session is not None:
                work = partial(self._sessions.step, session, action)
                self._begin(take_image(self.form.image.value), work, "Reading…", done)

    def _check(self) -> None:
        """Go to the next frame to check; those looked at since the last run are left out."""
        with told():
            session = self._find_session()
            if session is None:
                return
            image = take_image(self.form.image.value)
            found: list[int | None] = []
            seen = frozenset(self._checked)

            def look(session: Session) -> None:
                found.append(session.next_frame(skip=seen))

            work = partial(self._sessions.step, session, look)
            self._begin(image, work, "Looking…", "")
            if self.run is not None:
                self.run.finished.connect(lambda _: self._show_check(image, found))

    def _show_check(self, image: ImageSnapshot, found: list[int | None]) -> None:
        t = found[0] if found else None
        if t is None:
            self._checked.clear()
            self._tell("Nothing else is in doubt. Press again to begin anew.")
        else:
            self._checked.add(t)
            show_frame(image, self._viewer, t)
            self._tell(f"Frame {t}: correct it, or press again for the next one.")

    def _begin(
        self,
        image: ImageSnapshot,
        work: Callable[[], Generator[Session | Progress]],
        now: str,
        done: str,
    ) -> None:
        if self._is_running:
            return
        self.run = Run(self._viewer, image, work, follow=self.form.follow.value)
        self.run.estimated.connect(self._tell)
        self.run.progressed.connect(self._show_progress)
        self.run.finished.connect(partial(self._show_end, done))
        # A run outlives its panel, but not its window.
        _window(self.native).destroyed.connect(self.run.cancel)
        self._fit_buttons()
        self._tell(now)

    @property
    def _is_running(self) -> bool:
        return self.run is not None and self.run.is_running

    def _take_job(self) -> Job:
        image = take_image(self.form.image.value)
        user_frames = UserFrames(self.form.user_frames.value)
        prompts = None
        if user_frames is not UserFrames.DRAWN:
            prompts = take_prompts(self.form.labels.value, image, self._viewer, user_frames)
        return Job(
            image,
            prompts,
            self.form.options,
            self.form.frames,
            self.form.direction.value,
            self._folder,
        )

    @property
    def _folder(self) -> Path | None:
        """The session that is named, or whose results are chosen."""
        layer = self.form.labels.value
        own = None if layer is None else layer.metadata.get(METADATA)
        return self.form.session_folder or (Path(own["session"]) if own else None)

    def _find_session(self) -> Session | None:
        """Return the session on what is chosen, if it's open here."""
        try:
            image = take_image(self.form.image.value)
        except FramesError:
            return None
        return self._sessions.find(image, self._folder)

    def _stop(self) -> None:
        if self.run is not None:
            self.run.cancel()
            self._tell("Stopping after the frame in work…")

    def _leave(self) -> None:
        """Hear no more of keys, layers and a run: what would show it is gone."""
        self._keys.unbind()
        self.draw.leave()
        self._is_more_drawn = False
        if self.run is not None:
            for signal in (self.run.estimated, self.run.progressed, self.run.finished):
                signal.disconnect()

    def _follow(self, follow: bool) -> None:
        if self.run is not None:
            self.run.follow = follow

    def _tell(self, line: str) -> None:
        self.status.value = line

    def _show_progress(self, progress: Progress, pace: str) -> None:
        self.bar.max = progress.n_total
        self.bar.value = progress.n_done
        self._tell(pace)

    def _show_end(self, done: str, finish: Finish) -> None:
        self._fit_buttons()
        self._tell(_ENDS.get(finish, done))
        if self._is_more_drawn:
            self._is_more_drawn = False
            QTimer.singleShot(0, partial(self._draw, again=False))

    def _fit_buttons(self) -> None:
        """Enable what can be pressed now."""
        session = None if self._is_running else self._find_session()
        self.propagate.enabled = not self._is_running
        self.cancel.enabled = self._is_running
        self.undo.enabled = session is not None and session.can_undo
        self.redo.enabled = session is not None and session.can_redo
        self.check.enabled = session is not None

    def _add_labels(self) -> None:
        with told():
            image = take_image(self.form.image.value)
            layer = self._viewer.add_labels(
                np.zeros(image.shape, np.uint16), name=f"{image.name} masks", **image.placement
            )
            layer.mode = "paint"
            self.form.labels.value = layer

    def _add_layer(self, kind: str) -> None:
        with told():
            self.draw.add_layer(kind, take_image(self.form.image.value))

    def _choose_session(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self.native, "Open session")
        if chosen:
            self.open_session(Path(chosen))

    def open_session(self, folder: Path) -> None:
        """Show the layers of the session in `folder`; propagating goes on with it."""
        with told():
            layers = self._viewer.open(folder, plugin="napari-vos")
            labels = next(layer for layer in layers if METADATA in layer.metadata)
            self.form.labels.value = labels
            self.form.user_frames.value = str(UserFrames.SHOWN)


def _press(button: PushButton) -> None:
    if button.enabled:
        button.changed.emit(True)


def _window(widget: QWidget) -> QWidget:
    """Return the main window, also of a widget that floats."""
    while widget.parentWidget() is not None:
        widget = widget.parentWidget()
    return widget

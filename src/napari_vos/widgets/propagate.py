"""The dock widget that carries painted masks through time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from magicgui.widgets import Container, PushButton
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_vos._napari.desk import Desk
from napari_vos._napari.folders import SUFFIX
from napari_vos._napari.job import DrawJob, Job, OpenSessions
from napari_vos._napari.keys import Keys
from napari_vos._napari.notify import told
from napari_vos._napari.panel import call_at_end
from napari_vos._napari.settings import prefer_reader
from napari_vos._napari.snapshot import (
    METADATA,
    UserFrames,
    show_frame,
    shown_frame,
    take_image,
)
from napari_vos.errors import FramesError
from napari_vos.session import Finish
from napari_vos.widgets.chosen import Chosen
from napari_vos.widgets.controls import Controls
from napari_vos.widgets.display import Display
from napari_vos.widgets.draw import DrawPanel
from napari_vos.widgets.form import PropagateForm
from napari_vos.widgets.layout import make_tabs
from napari_vos.widgets.newcomers import NewcomersPanel
from napari_vos.widgets.objects import ObjectsPanel
from napari_vos.widgets.review import ReviewPanel
from napari_vos.widgets.steps import Steps

if TYPE_CHECKING:
    import napari

    from napari_vos._napari.desk import Then
    from napari_vos._napari.drawing import Place
    from napari_vos._napari.run import Run

_ENDS = {
    Finish.CANCELLED: "Cancelled; finished frames are kept. Propagate goes on from there.",
    Finish.FAILED: "Stopped by an error; finished frames are kept.",
}

_PAUSE_MS = 700
"""After a stroke on results, before it is propagated: others may follow."""


class PropagateWidget(Container):  # type: ignore[type-arg]
    """Propagate the masks of painted frames to all frames.

    Parameters
    ----------
    napari_viewer
        The window.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        prefer_reader(SUFFIX)
        self.form = PropagateForm()
        self.draw = DrawPanel(napari_viewer, lambda: self.form.image.value)
        self.objects, self.review = ObjectsPanel(), ReviewPanel()
        self._controls = controls = Controls()
        self.propagate, self.cancel, self.undo = controls.propagate, controls.cancel, controls.undo
        self.redo, self.automatic = controls.redo, controls.automatic
        self.bar, self.status = controls.bar, controls.status
        self.form.layers.append(self.draw.aim)
        self.form.settings.extend([self.draw.interactor, self.draw.weights, self.draw.local])
        rows = [controls.above, self.review, controls.below, controls.bar, controls.status]
        super().__init__(widgets=[self.form.layers, *rows], labels=False)
        self._viewer = napari_viewer
        self._desk = Desk(napari_viewer)
        self._chosen = Chosen(napari_viewer, self.form, self.draw, self._desk)
        aim = self._chosen.aim
        self._display = Display(napari_viewer, self._desk, aim)
        self.timeline = self._display.timeline
        self._steps = Steps(napari_viewer, self._desk, aim, controls.tell)
        self.newcomers = NewcomersPanel(
            napari_viewer, self._desk, aim, controls.tell, lambda: self.form.frames
        )
        panels = {
            "Draw": self.draw,
            "Objects": self.objects,
            "Settings": self.form.settings,
            "Newcomers": self.newcomers,
        }
        self.native.layout().insertWidget(1, make_tabs(panels), 1)
        self.native.layout().insertWidget(2, self.timeline)
        self._pause = QTimer()
        self._pause.setSingleShot(True)
        self._connect()
        call_at_end(self.native, self._leave)

    def _connect(self) -> None:
        """Let fields and buttons do what they say."""
        form, draw, objects, review = self.form, self.draw, self.objects, self.review
        steps = self._steps
        presses: dict[PushButton, Callable[[], object]] = {
            form.new_labels: self._add_labels,
            self.propagate: self._start,
            self.cancel: self._stop,
            self.undo: steps.undo,
            self.redo: steps.redo,
            self._controls.choose: self._choose_session,
            review.check: steps.check,
            review.accept: self._accept,
            review.accept_changes: self._accept_changes,
            objects.delete: steps.delete,
            objects.end: steps.end,
            objects.merge: lambda: steps.merge(int(objects.other.value)),
            objects.split: self._split,
        }
        for button in (objects.delete, objects.end, objects.merge, objects.split):
            button.clicked.connect(self._go_on_from_results)
        for kind, button in draw.new_layers.items():
            presses[button] = partial(self._add_layer, kind)
        for button, press in presses.items():
            button.clicked.connect(press)
        keys = {
            "Alt-R": self.propagate,
            "Alt-C": self.cancel,
            "Alt-U": self.undo,
            "Alt-M": draw.make,
            "Alt-N": review.check,
            "Alt-A": review.accept,
        }
        actions = {key: partial(_press, button) for key, button in keys.items()}
        self._keys = Keys(self._viewer, {**actions, "Alt-T": draw.toggle_negative})
        form.follow.changed.connect(self._follow)
        draw.requested.connect(self._draw)
        draw.rough.changed.connect(self._scribble)
        review.changes.changed.connect(self._display.overlay)
        for field in (form.image, form.labels, form.folder):
            field.changed.connect(self._fill)
            field.changed.connect(self._fit_buttons)
        self.timeline.chosen.connect(self._go_to)
        self._viewer.dims.events.point.connect(self._show_current)
        self._desk.corrections.painted.connect(self._correct)
        self._desk.corrections.picked.connect(self._pick)
        self._pause.timeout.connect(self._take_painted)
        self._desk.begun.connect(self._show_begin)
        self._desk.ended.connect(self._show_end)
        self._fill()
        self._fit_buttons()

    @property
    def run(self) -> Run | None:
        """What is going on, or was last."""
        return self._desk.run

    @property
    def is_busy(self) -> bool:
        """Whether something is going on, or will be in a moment."""
        return self._desk.is_busy or self._pause.isActive()

    def reset_choices(self, *_: object) -> None:
        """Offer the layers that are there now."""
        super().reset_choices()
        if hasattr(self, "draw"):
            self.draw.reset_choices()
            self.form.fit_range()

    # Propagating and drawing

    def _start(self) -> None:
        with told():
            job = self._chosen.take()
            self._pause.stop()
            self._steps.checked.clear()
            self._desk.propagate(job)

    def hand_over(self) -> tuple[OpenSessions, Job]:
        """Return what is chosen for other work on its session, with or without labels.

        Raises
        ------
        NapariVosError
            If the layers can't be used.
        """
        if self.form.labels.value is None:
            image = take_image(self.form.image.value)
            job = Job(image, None, self.form.options, folder=self._chosen.folder)
        else:
            job = self._chosen.take()
        return self._desk.sessions, self._desk.with_corrections(job)

    def refresh(self) -> None:
        """Enable what can be pressed now, after other work on the session."""
        self._fit_buttons()

    def _draw(self, again: bool) -> None:
        """Make masks of what is drawn; of all of it, if something must end first."""
        with told():
            self._desk.draw(partial(self._read, self.draw.place(), again))

    def _read(self, place: Place, again: bool) -> tuple[DrawJob, Then]:
        job, found = self._chosen.take_drawn(place, again=again)

        def keep(finish: Finish) -> None:
            for strokes, taken in found:
                # What was refused isn't tried again with each stroke to come.
                if job.done.is_set() or finish is Finish.FAILED:
                    strokes.keep(taken)
                else:
                    strokes.is_asked = True
            self._follow_masks(job)

        return job, keep

    def _follow_masks(self, job: DrawJob) -> None:
        """Propagate the masks of a job, if they are there and that is wanted."""
        if job.done.is_set():
            self._go_on_from_results()
            if self.automatic.value:
                self._desk.line_up(self._start)

    def _correct(self) -> None:
        """Make masks of scribbles on results; propagate what is painted, when the user pauses.

        What is being propagated is planned anew then.
        """
        self._go_on_from_results()
        if self.draw.rough.value:
            if self.draw.automatic.value:
                self._pause.start(0)  # a layer may tell before it has changed
        elif self.automatic.value or self._desk.is_propagating:
            self._pause.start(_PAUSE_MS)

    def _scribble(self, is_rough: bool) -> None:
        self._desk.corrections.is_rough = is_rough

    def _go_on_from_results(self) -> None:
        """Let no masks of the labels layer be said again: the results are newer."""
        self.form.user_frames.value = str(UserFrames.DRAWN)

    def _take_painted(self) -> None:
        if self.draw.rough.value:
            self._draw(again=False)
            return
        with told():
            job = self._chosen.take_rest()
            self._steps.checked.clear()
            self._desk.propagate(job)

    def _stop(self) -> None:
        self._pause.stop()
        self._desk.cancel()
        self._controls.tell("Stopping after the frame in work…")

    # What is shown

    def _show_begin(self, run: Run, line: str) -> None:
        self._display.follow(run)
        run.opened.connect(self._chosen.keep)
        run.estimated.connect(self._controls.tell)
        run.progressed.connect(self._controls.show_progress)
        # A run outlives its panel, but not its window.
        _window(self.native).destroyed.connect(run.cancel)
        self._fit_buttons()
        self._controls.tell(line)

    def _show_end(self, finish: Finish, done: str) -> None:
        self._fit_buttons()
        changes = self._display.changes
        line = done if changes is None else f"{done} Changed: {changes}."
        self._controls.tell(_ENDS.get(finish, line))

    def _show_current(self) -> None:
        """Mark the frame in view on the timeline."""
        try:
            self.timeline.show_current(shown_frame(take_image(self.form.image.value), self._viewer))
        except FramesError:
            self.timeline.show_current(None)

    def _go_to(self, t: int) -> None:
        with told():
            show_frame(take_image(self.form.image.value), self._viewer, t)

    def _follow(self, follow: bool) -> None:
        self._desk.follow = follow
        if self.run is not None:
            self.run.follow = follow

    def _fill(self) -> None:
        with told():
            self._chosen.fill()

    def _fit_buttons(self) -> None:
        """Enable what can be pressed now, and show the session that is chosen."""
        aim = self._chosen.aim()
        can = aim is not None and not self._desk.is_running
        self.cancel.enabled = self._desk.is_running
        self.undo.enabled = can and aim is not None and aim.session.can_undo
        self.redo.enabled = can and aim is not None and aim.session.can_redo
        review, objects = self.review, self.objects
        review.accept_changes.enabled = can and self._display.changes is not None
        for button in (
            review.check,
            review.accept,
            objects.delete,
            objects.end,
            objects.merge,
            objects.split,
        ):
            button.enabled = can
        self._display.fit()
        self._show_current()
        self.newcomers.fit()

    # Pressed buttons

    def _pick(self, object_id: int) -> None:
        self.draw.object_id.value = object_id

    def _accept(self) -> None:
        self._steps.accept(None, alone=bool(self.review.alone.value))

    def _accept_changes(self) -> None:
        changes = self._display.changes
        if changes is not None:
            self._steps.accept(changes.frames, alone=bool(self.review.alone.value))

    def _split(self) -> None:
        with told():
            self._steps.split(self._chosen.take_parts())

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
            self._desk.prepare(self.draw.chosen)

    def _choose_session(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self.native, "Open session")
        if chosen:
            self.open_session(Path(chosen))

    def open_session(self, folder: Path) -> None:
        """Show the layers of the session in `folder`; all goes on with it."""
        with told():
            layers = self._viewer.open(folder, plugin="napari-vos")
            labels = next(layer for layer in layers if METADATA in layer.metadata)
            images = [layer for layer in layers if layer is not labels]
            if images:
                self.form.image.value = images[0]
            self.form.folder.value = None
            self.form.labels.value = labels
            self.form.user_frames.value = str(UserFrames.SHOWN)
            self._chosen.check_images(folder)
            self._desk.show(self._chosen.take())

    def _leave(self) -> None:
        """Hear no more of keys, layers and runs: what would show it is gone."""
        self._keys.unbind()
        self._pause.stop()
        self.draw.leave()
        self._viewer.dims.events.point.disconnect(self._show_current)
        self._desk.begun.disconnect()
        self._desk.ended.disconnect()
        self._display.leave()
        self._desk.leave()


def _press(button: PushButton) -> None:
    if button.enabled:
        button.changed.emit(True)


def _window(widget: QWidget) -> QWidget:
    """Return the main window, also of a widget that floats."""
    while widget.parentWidget() is not None:
        widget = widget.parentWidget()
    return widget

"""The dock widget that carries painted masks through time."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import Container, Label, ProgressBar, PushButton
from qtpy.QtWidgets import QFileDialog

from napari_vos._napari.job import Job, OpenSessions
from napari_vos._napari.notify import told
from napari_vos._napari.run import Run
from napari_vos._napari.snapshot import METADATA, UserFrames, take_image, take_prompts
from napari_vos.session import Finish, Progress
from napari_vos.widgets.form import PropagateForm

if TYPE_CHECKING:
    import napari

_ENDS = {
    Finish.COMPLETED: "Done.",
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
        form = PropagateForm()
        propagate = PushButton(text="Propagate", tooltip="Carry the masks through time.")
        cancel = PushButton(text="Cancel", enabled=False, tooltip="Stop; finished frames are kept.")
        choose = PushButton(
            text="Open session…", tooltip="Show a session's folder and go on with it."
        )
        bar = ProgressBar(label="", min=0, max=1, value=0)
        status = Label(value="")
        buttons: Container[Any] = Container(
            widgets=[propagate, cancel, choose], layout="horizontal", labels=False
        )
        super().__init__(widgets=[form.container, buttons, bar, status], labels=False)
        self.form, self.propagate, self.cancel = form, propagate, cancel
        self.choose, self.bar, self.status = choose, bar, status
        self.run: Run | None = None
        self._viewer = napari_viewer
        self._sessions = OpenSessions()
        self.form.new_labels.clicked.connect(self._add_labels)
        self.form.follow.changed.connect(self._follow)
        self.propagate.clicked.connect(self._start)
        self.cancel.clicked.connect(self._stop)
        self.choose.clicked.connect(self._choose_session)
        self.native.destroyed.connect(self._sessions.close)

    def reset_choices(self, *_: object) -> None:
        """Offer the layers that are there now."""
        super().reset_choices()
        if hasattr(self, "form"):
            self.form.fit_range()

    def _start(self) -> None:
        if self.run is not None and self.run.is_running:
            return
        with told():
            job = self._take_job()
            self.run = Run(
                self._viewer,
                job.image,
                partial(self._sessions.run, job),
                follow=self.form.follow.value,
            )
            self.run.estimated.connect(self._tell)
            self.run.progressed.connect(self._show_progress)
            self.run.finished.connect(self._show_end)
            self.native.destroyed.connect(self.run.cancel)
            self._set_running(True)
            self.status.value = "Preparing…"

    def _take_job(self) -> Job:
        image = take_image(self.form.image.value)
        layer = self.form.labels.value
        prompts = take_prompts(layer, image, self._viewer, UserFrames(self.form.user_frames.value))
        own = layer.metadata.get(METADATA)
        return Job(
            image,
            prompts,
            self.form.options,
            self.form.frames,
            self.form.direction.value,
            self.form.session_folder or (Path(own["session"]) if own else None),
        )

    def _stop(self) -> None:
        if self.run is not None:
            self.run.cancel()
            self.status.value = "Stopping after the frame in work…"

    def _follow(self, follow: bool) -> None:
        if self.run is not None:
            self.run.follow = follow

    def _tell(self, line: str) -> None:
        self.status.value = line

    def _show_progress(self, progress: Progress, pace: str) -> None:
        self.bar.max = progress.n_total
        self.bar.value = progress.n_done
        self.status.value = pace

    def _show_end(self, finish: Finish) -> None:
        self._set_running(False)
        self.status.value = _ENDS[finish]

    def _set_running(self, running: bool) -> None:
        self.propagate.enabled = not running
        self.cancel.enabled = running

    def _add_labels(self) -> None:
        with told():
            image = take_image(self.form.image.value)
            layer = self._viewer.add_labels(
                np.zeros(image.shape, np.uint16), name=f"{image.name} masks", **image.placement
            )
            layer.mode = "paint"
            self.form.labels.value = layer

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

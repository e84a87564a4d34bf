"""The part of the Detect instances widget in which the detector learns from the user's labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import napari.layers
from magicgui.types import FileDialogMode
from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FileEdit,
    FloatSpinBox,
    Label,
    LineEdit,
    PushButton,
)
from psygnal import Signal

from napari_vos._napari.background import Background
from napari_vos._napari.own_labels import TrainingJob, take_labels, training_folder
from napari_vos.cli.options import parse_frame_list
from napari_vos.session import Finish
from napari_vos.widgets.curve import Curve
from napari_vos.widgets.form import chosen_path, layer_choice
from napari_vos.widgets.layout import make_row

if TYPE_CHECKING:
    from pathlib import Path

    from napari_vos._napari.snapshot import ImageSnapshot
    from napari_vos.training.own_cells import Progress

LOSS, PRECISION = "loss", "AP50"


class TrainingPanel(Container):  # type: ignore[type-arg]
    """Train on the masks of a labels layer, in the background.

    Parameters
    ----------
    viewer
        The window.
    """

    trained: ClassVar[Signal] = Signal(object)
    """Training has ended; the last `Progress`."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self.painted = layer_choice(
            napari.layers.Labels,
            label="learn from",
            tooltip="The layer with your cells on a few frames, each cell with its own label.",
        )
        self.frames = LineEdit(
            label="frames",
            tooltip="Frames whose masks are right, such as 0,5,20:30; empty for all that hold any, "
            "or in results for those that you have marked.",
        )
        self.complete = CheckBox(
            text="All cells of these frames have a mask",
            value=True,
            tooltip="If not, what has no mask is never taken for background.",
        )
        self.ignored = ComboBox(
            label="ignore",
            choices=lambda *_: [e for e in viewer.layers if isinstance(e, napari.layers.Labels)],
            nullable=True,
            tooltip="A labels layer painted where you don't know what there is.",
        )
        self.minutes = FloatSpinBox(
            label="minutes", min=0.1, max=600, step=1, value=5, tooltip="How long at most."
        )
        self.folder = FileEdit(
            label="weights to",
            mode=FileDialogMode.EXISTING_DIRECTORY,
            nullable=True,
            value=None,
            tooltip="A folder for the weights, or that of a stopped training to go on with; empty "
            "for a new one in your data folder.",
        )
        self.train = PushButton(
            text="Train on my labels",
            tooltip="Teach the detector your cells. The last fifth of the frames is held out and "
            "chooses the weights, so AP50 on it is a little too good afterwards.",
        )
        self.cancel = PushButton(
            text="Stop", enabled=False, tooltip="Stop; the best weights so far stay."
        )
        self.status = Label(value="")
        buttons = make_row(self.train, self.cancel)
        super().__init__(
            widgets=[
                self.painted,
                self.frames,
                self.complete,
                self.ignored,
                self.minutes,
                self.folder,
                buttons,
                self.status,
            ]
        )
        self.curve = Curve(LOSS, PRECISION)
        self.curve.hide()
        self.native.layout().addWidget(self.curve)
        self.work: Background | None = None
        self._last: Progress | None = None
        self.cancel.clicked.connect(self._stop)

    def start(self, image: ImageSnapshot, start_from: Path | None) -> None:
        """Train on images, beginning with these weights, or those of the package if None.

        Raises
        ------
        NapariVosError
            If the layers don't fit the images, or the frames can't be understood.
        """
        if self.is_running:
            return
        job = self._take_job(image, start_from)
        self._last = None
        self.curve.clear()
        self.curve.show()
        self.status.value = "Reading the labels…"
        self._begin(job.run)

    @property
    def is_running(self) -> bool:
        """Whether training goes on."""
        return self.work is not None and self.work.is_running

    def leave(self) -> None:
        """Stop: what would show it is gone."""
        if self.work is not None:
            self.work.found.disconnect()
            self.work.finished.disconnect()
            self.work.cancel()

    def _take_job(self, image: ImageSnapshot, start_from: Path | None) -> TrainingJob:
        labels = take_labels(self.painted.value, image)
        text = self.frames.value.strip()
        ignored = self.ignored.value
        return TrainingJob(
            image,
            labels,
            None if ignored is None else take_labels(ignored, image),
            parse_frame_list("The field frames:", text, labels.shape[0]) if text else None,
            bool(self.complete.value),
            chosen_path(self.folder) or training_folder(image.name),
            start_from,
            float(self.minutes.value),
        )

    def _begin(self, work: Callable[[], Any]) -> None:
        self.work = Background(work)
        self.work.found.connect(self._show)
        self.work.finished.connect(self._end)
        self._fit_buttons()

    def _show(self, progress: Progress) -> None:
        self._last = progress
        if progress.loss is not None:
            self.curve.add(LOSS, progress.minutes, progress.loss)
        if progress.scores is not None:
            self.curve.add(PRECISION, progress.minutes, progress.scores.ap50)
        self.status.value = f"{progress.minutes:.1f} min, step {progress.step}\n{_gain(progress)}"

    def _end(self, finish: Finish) -> None:
        self._fit_buttons()
        if self._last is None:
            self.status.value = "Stopped by an error." if finish is Finish.FAILED else ""
            return
        self.status.value = f"{_gain(self._last)}\nThe best weights are used from now on."
        self.trained.emit(self._last)

    def _stop(self) -> None:
        if self.work is not None:
            self.work.cancel()

    def _fit_buttons(self) -> None:
        self.train.enabled = not self.is_running
        self.cancel.enabled = self.is_running


def _gain(progress: Progress) -> str:
    n_frames = progress.before.n_complete
    where = "1 held-out frame" if n_frames == 1 else f"{n_frames} held-out frames"
    return f"AP50 on {where}: {progress.before.ap50:.2f} before, {progress.best.ap50:.2f} now"

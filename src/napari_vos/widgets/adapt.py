"""The dock widget that adapts an engine's weights to the stack in the window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import Container, FloatSpinBox, ProgressBar, PushButton

from napari_vos._napari.adaptation import AdaptJob
from napari_vos._napari.background import Background
from napari_vos._napari.notify import told
from napari_vos._napari.panel import call_at_end
from napari_vos.session import Finish
from napari_vos.widgets.curve import Curve
from napari_vos.widgets.layout import make_row, make_text
from napari_vos.widgets.propagate import PropagateWidget

if TYPE_CHECKING:
    import napari

    from napari_vos.training.adapt import AdaptProgress

LOSS = "loss"

_ABOUT = (
    "Teaches the engine chosen in Propagate what this movie looks like: 'mast' from images "
    "alone, 'compact' from painted frames. What makes the masks of these worse isn't kept."
)


class AdaptWidget(Container):  # type: ignore[type-arg]
    """Adapt the weights of the engine that is chosen in *Propagate* to its images.

    Parameters
    ----------
    napari_viewer
        The window.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        self.minutes = FloatSpinBox(
            label="minutes",
            min=0.1,
            max=600,
            step=1,
            value=5,
            tooltip="How long to learn. Longer than a few minutes rarely helps.",
        )
        self.adapt = PushButton(text="Adapt to this stack", tooltip="Learn what it looks like.")
        self.cancel = PushButton(
            text="Cancel",
            enabled=False,
            tooltip="Stop after the step in work. The best weights until then are judged and kept.",
        )
        self.bar = ProgressBar(label="", min=0, max=1000, value=0)
        self.status = make_text()
        about = make_text(_ABOUT)
        buttons = make_row(self.adapt, self.cancel)
        time: Container[Any] = Container(widgets=[self.minutes])
        super().__init__(widgets=[about, time, buttons, self.bar, self.status], labels=False)
        self.curve = Curve(LOSS)
        self.native.layout().addWidget(self.curve)
        self.work: Background | None = None
        self._viewer = napari_viewer
        self._job: AdaptJob | None = None
        self.adapt.clicked.connect(self._start)
        self.cancel.clicked.connect(self._stop)
        call_at_end(self.native, self._leave)

    @property
    def _propagate(self) -> PropagateWidget | None:
        widgets = self._viewer.window.dock_widgets.values()
        return next((each for each in widgets if isinstance(each, PropagateWidget)), None)

    @property
    def _is_running(self) -> bool:
        return self.work is not None and self.work.is_running

    def _start(self) -> None:
        with told():
            if self._is_running:
                return
            propagate = self._propagate
            if propagate is None:
                self._viewer.window.add_plugin_dock_widget("napari-vos", "Propagate")
                self.status.value = "Choose images, masks and engine in Propagate, and press again."
                return
            self._job = AdaptJob(*propagate.hand_over(), float(self.minutes.value))
            self.curve.clear()
            self.bar.value = 0
            self.status.value = "Looking at what there is…"
            self.work = Background(self._job.run)
            self.work.found.connect(self._show)
            self.work.finished.connect(self._end)
            self._fit_buttons()

    def _show(self, progress: AdaptProgress) -> None:
        self.bar.value = round(1000 * progress.share)
        if progress.loss is not None and self._job is not None:
            self.curve.add(LOSS, progress.share * self._job.minutes, progress.loss)
        if self._is_running and self.cancel.enabled:
            self.status.value = f"Step {progress.step}" if progress.step else "Comparing…"

    def _end(self, finish: Finish) -> None:
        self._fit_buttons()
        outcome = None if self._job is None else self._job.outcome
        parts = ["Stopped by an error."] if finish is Finish.FAILED else []
        if outcome is not None:
            parts.append(str(outcome))
        if outcome is not None and outcome.weights is not None:
            parts.append("Propagate runs all anew with the adapted weights; Undo goes back.")
        self.status.value = " ".join(parts) or "Cancelled before anything was learned."
        if self._propagate is not None:
            self._propagate.refresh()

    def _stop(self) -> None:
        if self.work is not None:
            self.work.cancel()
            self.cancel.enabled = False
            self.status.value = "Stopping; what was learned is judged…"

    def _leave(self) -> None:
        """Stop, and hear no more of it: what would show it is gone."""
        if self.work is not None:
            self.work.found.disconnect()
            self.work.finished.disconnect()
            self.work.cancel()

    def _fit_buttons(self) -> None:
        self.adapt.enabled = not self._is_running
        self.cancel.enabled = self._is_running

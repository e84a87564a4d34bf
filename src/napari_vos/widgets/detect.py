"""The dock widget that finds the instances of frames."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui.widgets import Container, Label, ProgressBar, PushButton
from superqt import QCollapsible

from napari_vos._napari.background import Background
from napari_vos._napari.detection import Found, Sight, Thresholds
from napari_vos._napari.instances import InstanceLayer
from napari_vos._napari.notify import told
from napari_vos._napari.panel import call_at_end
from napari_vos._napari.snapshot import ImageSnapshot, UserFrames, shown_frame, take_image
from napari_vos.errors import FramesError
from napari_vos.session import Finish
from napari_vos.widgets.combination import CombinationView
from napari_vos.widgets.detect_form import ALL, SOME, DetectForm
from napari_vos.widgets.detect_training import TrainingPanel
from napari_vos.widgets.form import chosen_path
from napari_vos.widgets.layout import let_scroll, make_row
from napari_vos.widgets.propagate import PropagateWidget

if TYPE_CHECKING:
    import napari

    from napari_vos.training.own_cells import Progress


class DetectWidget(Container):  # type: ignore[type-arg]
    """Find the instances of one frame, of some, or of all.

    Parameters
    ----------
    napari_viewer
        The window.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        form = DetectForm()
        detect = PushButton(text="Detect", tooltip="Find the instances.")
        cancel = PushButton(text="Cancel", enabled=False, tooltip="Stop; what is found stays.")
        use = PushButton(
            text="Use as prompts",
            enabled=False,
            tooltip="Choose the instances of this frame in Propagate. From then on the layer is "
            "yours: the sliders don't change it any more.",
        )
        explain = PushButton(
            text="Show prototypes",
            enabled=False,
            tooltip="Show how the mask of the instance with the layer's selected label is made.",
        )
        bar = ProgressBar(label="", min=0, max=1, value=0)
        status = Label(value="")
        buttons = make_row(detect, cancel, use, explain)
        super().__init__(widgets=[form.container, buttons, bar, status], labels=False)
        self.form, self.detect, self.cancel, self.use = form, detect, cancel, use
        self.explain, self.bar, self.status = explain, bar, status
        self.prototypes = CombinationView()
        self.training = TrainingPanel(napari_viewer)
        group = QCollapsible("Train on my labels")
        group.addWidget(self.training.native)
        self.native.layout().addWidget(group)
        let_scroll(self.native)
        self.search: Background | None = None
        self._viewer = napari_viewer
        self._sight: Sight | None = None
        self._results: InstanceLayer | None = None
        self._thresholds = form.thresholds
        self._is_again = self._is_stale = False
        self.detect.clicked.connect(self._start)
        self.cancel.clicked.connect(self._stop)
        self.use.clicked.connect(self._hand_over)
        self.explain.clicked.connect(self._explain)
        for field in (form.score, form.overlap, form.kind):
            field.changed.connect(self._apply)
        self.training.train.clicked.connect(self._train)
        self.training.trained.connect(self._use_trained)
        call_at_end(self.native, self._leave)

    def reset_choices(self, *_: object) -> None:
        """Offer the layers that are there now."""
        super().reset_choices()
        if hasattr(self, "training"):
            self.form.fit()
            self.training.reset_choices()

    def _start(self) -> None:
        with told():
            image, options = take_image(self.form.image.value), self.form.options
            frames = self._chosen_frames(image)
            if self._is_running:
                return
            if self._sight is None or not self._sight.fits(image, options):
                self._sight, self._results = Sight(image, options), None
            if self._results is not None and not self._results.is_there:
                self._results = None
            self.bar.max, self.bar.value = len(frames), 0
            self.status.value = "Searching…"
            self._is_again = False
            self._begin(partial(self._sight.look, frames, self._newest))

    def _apply(self) -> None:
        """Apply the thresholds to what was seen; frames still to come take them anyway."""
        self._thresholds = self.form.thresholds
        if self.search is not None and self._is_running:
            self._is_stale = True
            if self._is_again:
                self.search.cancel()
            return
        if self._sight is None or self._results is None or not self._results.is_there:
            return
        self._is_again = True
        self._begin(partial(self._sight.look_again, self._results.frames, self._newest))

    def _newest(self) -> Thresholds:
        """Return the thresholds, in the worker: it mustn't read widgets."""
        return self._thresholds

    def _begin(
        self, work: Callable[[], Generator[Any]], show: Callable[[Any], None] | None = None
    ) -> None:
        self._thresholds = self.form.thresholds
        self._is_stale = False
        self.search = Background(work)
        self.search.found.connect(show or self._show)
        self.search.finished.connect(self._end)
        self._fit_buttons()

    @property
    def _is_running(self) -> bool:
        return self.search is not None and self.search.is_running

    def _show(self, found: Found) -> None:
        if self._sight is None:
            return
        if self._results is None or self._results.weights != found.weights:
            self._results = InstanceLayer(self._viewer, self._sight.image, found.weights)
        self._results.show(found)
        if not self._is_again:
            self.bar.value += 1
        n_frames = len(self._results.frames)
        frames = "1 frame" if n_frames == 1 else f"{n_frames} frames"
        self.status.value = f"{self._results.n_instances} instances on {frames}"

    def _end(self, finish: Finish) -> None:
        self._fit_buttons()
        if finish is Finish.FAILED:
            self.status.value = "Stopped by an error."
        elif self._is_stale:
            self._apply()

    def _explain(self) -> None:
        """Show how the mask of the selected label is made."""
        if self._sight is None or self._results is None or self._is_running:
            return
        t = shown_frame(self._sight.image, self._viewer) or 0
        label = int(self._results.layer.selected_label)
        work = partial(self._sight.combination, t, label, self.form.thresholds)
        self._is_again = False
        self._begin(work, self.prototypes.show_combination)

    def _train(self) -> None:
        with told():
            form = self.form
            start_from = chosen_path(form.weights) if form.detector.value == "cells" else None
            self.training.start(take_image(form.image.value), start_from)

    def _use_trained(self, progress: Progress) -> None:
        """Search with what was learned from now on."""
        self.form.detector.value = "cells"
        self.form.weights.value = progress.path
        self.form.diameter.value = round(progress.diameter)

    def _stop(self) -> None:
        if self.search is not None:
            self.search.cancel()

    def _leave(self) -> None:
        """Stop, and hear no more of it: what would show it is gone."""
        self.training.leave()
        self.prototypes.close()
        if self.search is not None:
            self.search.found.disconnect()
            self.search.finished.disconnect()
            self.search.cancel()

    def _chosen_frames(self, image: ImageSnapshot) -> range:
        n_frames = image.shape[image.letters.index("T")]
        if self.form.frames.value == ALL:
            return range(n_frames)
        if self.form.frames.value == SOME:
            chosen = range(int(self.form.first.value), int(self.form.last.value) + 1)
            if not chosen:
                raise FramesError(
                    f"The first frame, {chosen.start}, comes after the last one, "
                    f"{chosen.stop - 1}. Swap them."
                )
            return chosen
        t = shown_frame(image, self._viewer)
        if t is None or not 0 <= t < n_frames:
            raise FramesError(
                f"No frame of '{image.name}' is in view. Move the slider to one of its frames "
                f"(0-{n_frames - 1}), or choose '{ALL}'."
            )
        return range(t, t + 1)

    def _hand_over(self) -> None:
        if self._results is None:
            return
        self._results.leave()
        widgets = self._viewer.window.dock_widgets.values()
        propagate = next((each for each in widgets if isinstance(each, PropagateWidget)), None)
        if propagate is None:
            _, propagate = self._viewer.window.add_plugin_dock_widget("napari-vos", "Propagate")
        propagate.form.image.value = self.form.image.value
        propagate.form.labels.value = self._results.layer
        propagate.form.user_frames.value = str(UserFrames.SHOWN)
        self._fit_buttons()

    def _fit_buttons(self) -> None:
        """Enable what can be pressed now."""
        self.detect.enabled = not self._is_running
        self.cancel.enabled = self._is_running
        found = self._results is not None and self._results.is_there and self._results.frames
        self.use.enabled = self.explain.enabled = bool(found) and not self._is_running

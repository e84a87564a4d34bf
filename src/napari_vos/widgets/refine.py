"""The dock widget that finds the borders of labels again in the images."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from magicgui.widgets import Container, Label, ProgressBar, PushButton

from napari_vos._napari.background import Background
from napari_vos._napari.notify import told
from napari_vos._napari.panel import call_at_end
from napari_vos._napari.preview import Preview, change_pixels
from napari_vos._napari.refinement import Changes, find_changes, take_labels
from napari_vos._napari.snapshot import METADATA, shown_frame, take_image
from napari_vos.errors import FramesError
from napari_vos.session import Finish
from napari_vos.widgets.layout import let_scroll, make_row
from napari_vos.widgets.refine_form import ALL, RefineForm

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari
    from napari.layers import Labels

    from napari_vos._napari.refinement import LabelsSnapshot, Pixels
    from napari_vos._napari.snapshot import ImageSnapshot


class RefineWidget(Container):  # type: ignore[type-arg]
    """Refine the borders of a labels layer: look first, then apply.

    Parameters
    ----------
    napari_viewer
        The window.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        form = RefineForm()
        look = PushButton(text="Preview", tooltip="Show which pixels would change.")
        cancel = PushButton(text="Cancel", tooltip="Stop; what is found can be applied.")
        apply = PushButton(text="Apply", tooltip="Change these pixels of the labels.")
        discard = PushButton(text="Discard", tooltip="Leave the labels as they are.")
        undo = PushButton(text="Undo", tooltip="Take back what was applied last.")
        bar = ProgressBar(label="", min=0, max=1, value=0)
        status = Label(value="")
        rows = [make_row(look, cancel), make_row(apply, discard, undo)]
        super().__init__(widgets=[form.container, *rows, bar, status], labels=False)
        let_scroll(self.native)
        self.form, self.look, self.cancel = form, look, cancel
        self.apply, self.discard, self.undo = apply, discard, undo
        self.bar, self.status = bar, status
        self.search: Background | None = None
        self._viewer = napari_viewer
        self._preview: Preview | None = None
        self._applied: tuple[ImageSnapshot, Labels, Pixels] | None = None
        self.look.clicked.connect(self._start)
        self.cancel.clicked.connect(self._stop)
        self.apply.clicked.connect(self._apply)
        self.discard.clicked.connect(self._discard)
        self.undo.clicked.connect(self._undo)
        call_at_end(self.native, self._leave)
        self._fit_buttons()

    def _start(self) -> None:
        with told():
            if self._is_running:
                return
            image = take_image(self.form.image.value)
            labels = take_labels(self.form.labels.value, image, self._viewer)
            frames, options = self._chosen_frames(image, labels), self.form.options
            self._close_preview()
            self._preview = Preview(self._viewer, image, self.form.labels.value, labels.letters)
            self.bar.max, self.bar.value = len(frames), 0
            self.status.value = "Looking…"
            self.search = Background(partial(find_changes, image, labels, frames, options))
            self.search.found.connect(self._show)
            self.search.finished.connect(self._end)
            self._fit_buttons()

    def _chosen_frames(self, image: ImageSnapshot, labels: LabelsSnapshot) -> range:
        if len(labels.frames) == 1:
            return labels.frames
        if self.form.frames.value == ALL:
            if METADATA in self.form.labels.value.metadata:
                raise FramesError(
                    f"'{labels.name}' holds a session's results. Refine them frame by frame, or "
                    "propagate with 'refine edges'."
                )
            return labels.frames
        t = shown_frame(image, self._viewer)
        if t is None or t not in labels.frames:
            raise FramesError(
                f"No frame of '{image.name}' is in view. Move the slider to one of its frames "
                f"(0-{labels.frames[-1]}), or choose '{ALL}'."
            )
        return range(t, t + 1)

    @property
    def _is_running(self) -> bool:
        return self.search is not None and self.search.is_running

    def _show(self, changes: Changes) -> None:
        if self._preview is not None:
            self._preview.show(changes)
            self.bar.value += 1
            self.status.value = _count(self._preview.n_pixels, self._preview.frames, "to change")

    def _end(self, finish: Finish) -> None:
        if finish is Finish.FAILED:
            self.status.value = "Stopped by an error."
        if self._preview is not None and not self._preview.frames:
            self._close_preview()
            if finish is Finish.COMPLETED:
                self.status.value = "No pixel changes."
        self._fit_buttons()

    def _stop(self) -> None:
        if self.search is not None:
            self.search.cancel()

    def _apply(self) -> None:
        with told():
            if self._preview is None or self._is_running:
                return
            preview, pixels = self._preview, self._preview.apply()
            self._applied = preview.image, preview.target, pixels
            self.status.value = _count(len(pixels.before), preview.frames, "changed")
            self._close_preview()
            self._fit_buttons()

    def _discard(self) -> None:
        self._stop()
        self._close_preview()
        self.status.value = "Nothing was changed."
        self._fit_buttons()

    def _undo(self) -> None:
        with told():
            if self._applied is None:
                return
            image, layer, pixels = self._applied
            restored = change_pixels(self._viewer, image, layer, pixels.reversed)
            self._applied = None
            self.status.value = f"{len(restored.before)} pixels are as they were."
            self._fit_buttons()

    def _close_preview(self) -> None:
        if self._preview is not None:
            self._preview.close()
            self._preview = None

    def _leave(self) -> None:
        """Stop, and hear no more of it: what would show it is gone."""
        if self.search is not None:
            self.search.found.disconnect()
            self.search.finished.disconnect()
            self.search.cancel()

    def _fit_buttons(self) -> None:
        """Enable what can be pressed now."""
        is_there = self._preview is not None
        self.look.enabled = not self._is_running
        self.cancel.enabled = self._is_running
        self.apply.enabled = is_there and not self._is_running
        self.discard.enabled = is_there
        self.undo.enabled = self._applied is not None


def _count(n_pixels: int, frames: Sequence[int], what: str) -> str:
    """Return a line such as "120 pixels changed on 3 frames"."""
    where = "1 frame" if len(frames) == 1 else f"{len(frames)} frames"
    return f"{n_pixels} pixels {what} on {where}"

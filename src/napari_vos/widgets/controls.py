"""The part of the Propagate widget for runs: buttons, how far it is, what is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import CheckBox, ProgressBar, PushButton

from napari_vos.widgets.layout import make_row, make_text

if TYPE_CHECKING:
    from napari_vos.session import Progress


class Controls:
    """Buttons to begin, stop and take back runs, a bar and a line of text.

    Attributes
    ----------
    above, below
        The rows of buttons.
    """

    def __init__(self) -> None:
        self.propagate = PushButton(
            text="Propagate (Alt-R)",
            tooltip="Carry the masks through time; go on with what was cancelled; while it runs, "
            "plan what is left anew.",
        )
        self.cancel = PushButton(
            text="Cancel (Alt-C)",
            enabled=False,
            tooltip="Stop after the frame in work. Finished frames are kept, and Propagate goes on "
            "from there.",
        )
        self.automatic = CheckBox(
            text="after each correction",
            tooltip="Propagate what is drawn, or painted on the results, without being asked.",
        )
        self.undo = PushButton(
            text="Undo (Alt-U)",
            enabled=False,
            tooltip="Take back the last run, then the masks it was given, and so on.",
        )
        self.redo = PushButton(text="Redo", enabled=False, tooltip="Do again what was undone last.")
        self.choose = PushButton(
            text="Open session…", tooltip="Show a session's folder and go on with it."
        )
        self.bar = ProgressBar(label="", min=0, max=1, value=0)
        self.status = make_text()
        self.above = make_row(self.propagate, self.cancel, self.automatic)
        self.below = make_row(self.undo, self.redo, self.choose)

    def tell(self, line: str) -> None:
        """Show a line of text."""
        self.status.value = line

    def show_progress(self, progress: Progress, pace: str) -> None:
        """Show how far a run has come."""
        self.bar.max = progress.n_total
        self.bar.value = progress.n_done
        self.tell(pace)

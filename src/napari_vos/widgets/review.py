"""The part of the Propagate widget for looking at results: what to check, what is right."""

from __future__ import annotations

from magicgui.widgets import CheckBox, Container, PushButton

from napari_vos.widgets.layout import make_row


class ReviewPanel(Container):  # type: ignore[type-arg]
    """Goes to doubtful frames, shows what a round has changed, and accepts."""

    def __init__(self) -> None:
        self.check = PushButton(
            text="Next frame to check (Alt-N)",
            tooltip="Go to the frame where a correction is worth most; again for the one after.",
        )
        self.changes = CheckBox(
            text="Show changes",
            value=True,
            tooltip="After a correction is propagated, show which pixels it has changed: cyan "
            "gained, magenta lost, yellow from another object.",
        )
        self.accept = PushButton(
            text="Accept frame (Alt-A)",
            tooltip="The frame in view is right: no later run changes it.",
        )
        self.accept_changes = PushButton(
            text="Accept changes", tooltip="The same for all frames the latest run has changed."
        )
        self.alone = CheckBox(
            text="this object", tooltip="Accept the current object alone, not the whole frame."
        )
        rows = [
            make_row(self.check, self.changes),
            make_row(self.accept, self.accept_changes, self.alone),
        ]
        super().__init__(widgets=rows, labels=False)
        self.margins = (0, 0, 0, 0)

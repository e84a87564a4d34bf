"""The part of the Propagate widget for whole objects: delete, end, merge, split."""

from __future__ import annotations

from magicgui.widgets import Container, PushButton, SpinBox

from napari_vos.prompts import MAX_OBJECT_ID
from napari_vos.widgets.layout import make_row


class ObjectsPanel(Container):  # type: ignore[type-arg]
    """Buttons for the current object; each press is one step that can be undone."""

    def __init__(self) -> None:
        self.delete = PushButton(
            text="Delete", tooltip="Take the object out of all frames, with all said of it."
        )
        self.end = PushButton(
            text="End here",
            tooltip="The object is gone from the frame in view on, until its next user frame.",
        )
        self.split = PushButton(
            text="Split here",
            tooltip="Make two objects of its two parts on the frame in view. If they touch, draw "
            "first, without 'As I draw': a stroke on the part that keeps the id, and one on the "
            "other with 'Not the object'.",
        )
        self.merge = PushButton(
            text="Merge with", tooltip="The other object becomes part of this one on all frames."
        )
        self.other = SpinBox(min=1, max=MAX_OBJECT_ID, value=2, tooltip="The other object.")
        rows = [make_row(self.delete, self.end, self.split), make_row(self.merge, self.other)]
        super().__init__(widgets=rows, labels=False)

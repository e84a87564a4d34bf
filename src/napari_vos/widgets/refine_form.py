"""The fields of the Refine edges widget."""

from __future__ import annotations

import re
from typing import Any

import napari.layers
from magicgui.widgets import ComboBox, Container, FileEdit, FloatSlider, LineEdit

from napari_vos._napari.refinement import RefinementOptions
from napari_vos.configs import RefinementConfig
from napari_vos.errors import PromptError
from napari_vos.prompts import MAX_OBJECT_ID
from napari_vos.widgets.form import chosen_path, layer_choice
from napari_vos.widgets.machine import make_device

SHOWN, ALL = FRAMES = ("this frame", "all frames")
EVERY, SELECTED, SOME = OBJECTS = ("all objects", "the selected label", "some objects")


class RefineForm:
    """What to refine, and how."""

    def __init__(self) -> None:
        self.image = layer_choice(
            napari.layers.Image, label="images", tooltip="The time-lapse (T, Y, X), at full size."
        )
        self.labels = layer_choice(
            napari.layers.Labels, label="labels", tooltip="The layer whose borders to refine."
        )
        self.frames = ComboBox(label="frames", choices=FRAMES, tooltip="Which frames to refine.")
        self.objects = ComboBox(
            label="objects", choices=OBJECTS, tooltip="Which objects to refine; others stay."
        )
        self.ids = LineEdit(label="ids", tooltip="Labels, such as 3, 7, 10-14.")
        self.factor = ComboBox(
            label="coarse by",
            choices=(2, 4, 8),
            value=RefinementConfig.factor,
            tooltip="Pixels of the image per pixel of the scale at which the labels were made: "
            "borders can move about as far.",
        )
        self.certainty = FloatSlider(
            label="certainty",
            min=0.5,
            max=1,
            step=0.01,
            value=RefinementConfig.certainty,
            tooltip="A pixel changes sides if this is its probability or more: the higher, the "
            "fewer change.",
        )
        self.weights = FileEdit(
            label="weights",
            nullable=True,
            value=None,
            tooltip="A weights file; empty for those that come with the plugin.",
        )
        self.device = make_device("Where to compute.")
        self.container: Container[Any] = Container(
            widgets=[
                self.image,
                self.labels,
                self.frames,
                self.objects,
                self.ids,
                self.factor,
                self.certainty,
                self.weights,
                self.device,
            ]
        )
        self.objects.changed.connect(self.fit)
        self.fit()

    @property
    def options(self) -> RefinementOptions:
        """What is asked for.

        Raises
        ------
        PromptError
            If the ids can't be read.
        """
        return RefinementOptions(
            self._object_ids(),
            RefinementConfig(factor=self.factor.value, certainty=self.certainty.value),
            chosen_path(self.weights),
            self.device.value,
        )

    def fit(self) -> None:
        """Ask for ids if some objects are chosen."""
        self.ids.visible = self.objects.value == SOME

    def _object_ids(self) -> frozenset[int] | None:
        if self.objects.value == SOME:
            return parse_ids(self.ids.value)
        if self.objects.value == SELECTED and self.labels.value is not None:
            return frozenset({int(self.labels.value.selected_label)})
        return None


def parse_ids(text: str) -> frozenset[int]:
    """Return the labels that "3, 7, 10-14" means.

    Raises
    ------
    PromptError
        If it isn't such a list of object ids.
    """
    ids: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        first = int(found[1]) if found else 0
        last = int(found[2] or first) if found else 0
        if not 1 <= first <= last <= MAX_OBJECT_ID:
            raise PromptError(
                f"'{text}' isn't a list of labels from 1 to {MAX_OBJECT_ID}. Write for instance "
                "3, 7, 10-14."
            )
        ids.update(range(first, last + 1))
    return frozenset(ids)

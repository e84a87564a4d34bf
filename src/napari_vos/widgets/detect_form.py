"""The fields of the Detect instances widget."""

from __future__ import annotations

from typing import Any

import napari.layers
from magicgui.widgets import (
    ComboBox,
    Container,
    FileEdit,
    FloatSlider,
    FloatSpinBox,
    Label,
    SpinBox,
)

from napari_vos._napari.detection import DetectorOptions, Thresholds
from napari_vos.configs import CellsConfig
from napari_vos.engines import DETECTORS, PUBLISHED
from napari_vos.engines.coco import CLASSES
from napari_vos.widgets.form import chosen_path, layer_choice, where_published
from napari_vos.widgets.machine import make_device, make_precision

ALL_CLASSES = "all"

SHOWN, SOME, ALL = FRAMES = ("this frame", "some frames", "all frames")


class DetectForm:
    """What to search, with what, and what counts as an instance."""

    def __init__(self) -> None:
        self.image = layer_choice(
            napari.layers.Image, label="images", tooltip="A time-lapse (T, Y, X)."
        )
        self.detector = ComboBox(
            label="detector",
            choices=DETECTORS,
            tooltip="'cells', or 'yolact' for models that its authors publish.",
        )
        self.weights = FileEdit(
            label="weights",
            nullable=True,
            value=None,
            tooltip="A weights file; empty for those that come with the plugin.",
        )
        self.published = Label(label="")
        self.published.native.setOpenExternalLinks(True)
        self.diameter = FloatSpinBox(
            label="diameter",
            min=0,
            max=1000,
            step=1,
            value=0,
            tooltip="Typical diameter of cells in pixels, at least 4: frames are scaled for it. "
            "0 leaves them as they are.",
        )
        self.device = make_device("Where the detector computes.")
        self.precision = make_precision("How the detector computes.")
        self.frames = ComboBox(label="frames", choices=FRAMES, tooltip="Which frames to search.")
        self.first = SpinBox(min=0, max=1, tooltip="First frame to search.")
        self.last = SpinBox(min=0, max=1, value=1, tooltip="Last frame to search.")
        self.span: Container[Any] = Container(
            widgets=[self.first, self.last], layout="horizontal", labels=False, label="from, to"
        )
        self.score = FloatSlider(
            label="score",
            min=0.05,
            max=1,
            step=0.01,
            value=0.3,
            tooltip="What is less certain is left out; no new search needed.",
        )
        self.overlap = FloatSlider(
            label="overlap",
            min=0,
            max=1,
            step=0.01,
            value=0.5,
            tooltip="Of two that overlap (IoU) more the worse is left out; no new search needed.",
        )
        self.kind = ComboBox(
            label="class",
            choices=(ALL_CLASSES, *CLASSES),
            tooltip="Of the classes that published models know; no new search needed.",
        )
        self.container: Container[Any] = Container(
            widgets=[
                self.image,
                self.detector,
                self.weights,
                self.published,
                self.diameter,
                self.device,
                self.precision,
                self.frames,
                self.span,
                self.score,
                self.overlap,
                self.kind,
            ]
        )
        for field in (self.image, self.detector, self.frames):
            field.changed.connect(self.fit)
        self.fit()

    @property
    def options(self) -> DetectorOptions:
        """The detector that is asked for.

        Raises
        ------
        NapariVosError
            If the diameter is outside its limits.
        """
        is_scaled = self.detector.value == "cells" and self.diameter.value > 0
        return DetectorOptions(
            self.detector.value,
            CellsConfig(diameter=self.diameter.value) if is_scaled else None,
            chosen_path(self.weights),
            self.device.value,
            self.precision.value,
        )

    @property
    def thresholds(self) -> Thresholds:
        """Where the sliders are, and the class that is asked for."""
        is_chosen = self.detector.value == "yolact" and self.kind.value != ALL_CLASSES
        kind = CLASSES.index(self.kind.value) if is_chosen else None
        return Thresholds(self.score.value, self.overlap.value, kind)

    def fit(self) -> None:
        """Ask for what the detector needs, and offer the frames of the images."""
        address = PUBLISHED.get(self.detector.value)
        self.published.visible = address is not None
        self.published.value = where_published(address)
        self.diameter.visible = self.detector.value == "cells"
        self.kind.visible = self.detector.value == "yolact"
        self.span.visible = self.frames.value == SOME
        layer = self.image.value
        if layer is None or layer.ndim < 3:
            return
        last = max(1, int((layer.data[0] if layer.multiscale else layer.data).shape[0]) - 1)
        if last != self.last.max:
            self.first.max = self.last.max = last
            self.last.value = last

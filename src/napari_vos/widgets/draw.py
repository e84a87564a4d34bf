"""The part of the Propagate widget for drawing roughly: strokes, clicks, boxes become masks."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, Container, FileEdit, PushButton, SpinBox
from napari.layers import Labels, Points, Shapes
from psygnal import Signal

from napari_vos._napari.drawing import Place
from napari_vos._napari.job import EngineOptions
from napari_vos._napari.notify import told
from napari_vos._napari.snapshot import METADATA, ImageSnapshot, shown_frame, take_image
from napari_vos._napari.strokes import DrawingLayer, Strokes, Taken, negative_label
from napari_vos.configs import InteractionConfig, MivosInteractionConfig
from napari_vos.engines import INTERACTORS
from napari_vos.errors import NapariVosError, PromptError
from napari_vos.prompts import MAX_OBJECT_ID
from napari_vos.session.interaction import INTERACTOR
from napari_vos.widgets.form import name_path, named_path
from napari_vos.widgets.layout import make_row
from napari_vos.widgets.machine import choose

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.layers import Image

NEW_LAYERS = {
    "shapes": "Boxes, polygons, ellipses, lines and paths.",
    "points": "Clicks.",
    "scribbles": "Strokes painted with the brush: each label is an object.",
}
"""What can be drawn on, with what it is for."""

_LOCAL: dict[str, type[InteractionConfig | MivosInteractionConfig]] = {
    "compact": InteractionConfig,
    "mivos": MivosInteractionConfig,
}
"""Settings of the interactors that can change masks around their strokes alone."""


class DrawPanel(Container):  # type: ignore[type-arg]
    """Chooses a layer to draw on, what is drawn, and what makes masks of it.

    The fields `aim`, `interactor`, `weights` and `local` have their place elsewhere.

    Parameters
    ----------
    viewer
        The window.
    find_images
        Returns the layer whose images are drawn on.
    """

    requested: ClassVar[Signal] = Signal(bool)
    """Masks are wanted: of what is new; if True, and nothing is, of the shown frame again."""

    def __init__(
        self, viewer: napari.viewer.Viewer, find_images: Callable[[], Image | None]
    ) -> None:
        self._viewer = viewer
        self._find_images = find_images
        self._strokes: dict[int, Strokes] = {}
        self._heard: DrawingLayer | None = None
        self._filled = EngineOptions(INTERACTOR)
        self.layer = ComboBox(
            label="draw on",
            choices=self._drawable,
            nullable=True,
            tooltip="The layer with your strokes, clicks and shapes.",
        )
        self.new_layers = {
            kind: PushButton(text=f"New {kind}", tooltip=tooltip)
            for kind, tooltip in NEW_LAYERS.items()
        }
        self.object_id = SpinBox(
            label="object",
            min=1,
            max=MAX_OBJECT_ID,
            value=1,
            tooltip="Whose the next strokes, clicks and shapes are.",
        )
        self.negative = CheckBox(
            text="Not the object (Alt-T)",
            tooltip="What is drawn next lies on what is no part of the object.",
        )
        self.interactor = ComboBox(
            label="interactor",
            choices=INTERACTORS,
            value=INTERACTOR,
            tooltip="What makes masks of what is drawn.",
        )
        self.weights = FileEdit(
            label="interactor's weights",
            nullable=True,
            value=None,
            tooltip="A weights file; empty for those that come with the plugin. 'mivos' needs one.",
        )
        self.local = CheckBox(
            text="Around strokes alone",
            tooltip="A mask that is corrected changes around the strokes alone: with 'compact' and "
            "'mivos'.",
        )
        self.automatic = CheckBox(
            text="As I draw", value=True, tooltip="Make the mask at the end of each stroke."
        )
        self.rough = CheckBox(
            text="Scribbles on results",
            tooltip="What is painted or erased on the results are scribbles, of which masks are "
            "made; else it is the mask itself.",
        )
        self.make = PushButton(
            text="Make masks (Alt-M)",
            tooltip="Make masks of what is new on the layer; if nothing is, of the frame in view "
            "again.",
        )
        self.aim = make_row(self.object_id, self.negative, label="object")
        buttons = make_row(*self.new_layers.values())
        making = make_row(self.make, self.automatic, self.rough)
        super().__init__(widgets=[self.layer, buttons, making])
        self.layer.changed.connect(self._listen)
        self.object_id.changed.connect(self._aim)
        self.negative.changed.connect(self._aim)
        self.make.clicked.connect(self.ask)

    @property
    def chosen(self) -> EngineOptions:
        """The interactor that is asked for."""
        name, filled = self.interactor.value, self._filled
        kept = filled if filled.engine == name else EngineOptions(name)
        weights = None if name == "random_walker" else named_path(self.weights, filled.weights)
        return replace(kept, config=self._config(kept.config), weights=weights)

    def _config(self, kept: object | None) -> object | None:
        """Return the settings of the interactor; those that no field shows are kept."""
        kind = _LOCAL.get(self.interactor.value)
        if kind is None or self.local.value == _is_local(kept):
            return kept
        return replace(kept if isinstance(kept, kind) else kind(), local=self.local.value)

    def fill(self, interactor: EngineOptions) -> None:
        """Show the interactor of a session; what no field shows of it is kept with it."""
        self._filled = interactor
        choose(self.interactor, interactor.engine)
        name_path(self.weights, interactor.weights)
        self.local.value = _is_local(interactor.config)

    def forget(self) -> None:
        """Keep nothing of a session's interactor but what the fields show."""
        self._filled = EngineOptions(INTERACTOR)

    def ask(self) -> None:
        """Ask for masks, as the button does."""
        with told():
            strokes = self.strokes
            if strokes is not None:
                strokes.is_asked = True
            elif not self.rough.value:
                raise PromptError(
                    "No layer to draw on is chosen. Press 'New shapes', 'New points' or 'New "
                    "scribbles', and draw on the images."
                )
            self.requested.emit(True)

    def toggle_negative(self) -> None:
        """Draw on the object instead of off it, or the other way round."""
        self.negative.value = not self.negative.value

    def add_layer(self, kind: str, image: ImageSnapshot) -> None:
        """Add a layer to draw on, one of `NEW_LAYERS`, and choose it."""
        name = f"{image.name} {kind}"
        n_dims = len(image.letters)
        layer: DrawingLayer
        if kind == "shapes":
            layer = Shapes(ndim=n_dims, name=name, face_color="transparent", **image.placement)
            mode = "add_rectangle"
        elif kind == "points":
            layer = Points(ndim=n_dims, name=name, **image.placement)
            mode = "add"
        else:
            layer = Labels(np.zeros(image.shape, np.uint16), name=name, **image.placement)
            layer.brush_size = 3
            mode = "paint"
        self._viewer.add_layer(layer)
        layer.mode = mode  # only now do the layer's controls show it
        self.layer.reset_choices()
        self.layer.value = layer

    @property
    def strokes(self) -> Strokes | None:
        """What is drawn on the chosen layer."""
        layer: DrawingLayer | None = self.layer.value
        return None if layer is None else self._strokes_of(layer)

    def place(self) -> Place:
        """Return where in the images, and whose, is what is drawn now.

        Raises
        ------
        FramesError
            If the images can't be used.
        """
        layer = self._find_images()
        image = take_image(layer)
        shown = shown_frame(image, self._viewer)
        return Place(cast("Image", layer), image, shown, int(self.object_id.value))

    def read(self, place: Place, *, again: bool) -> list[tuple[Strokes, Taken]]:
        """Return what is drawn and no mask was made of yet, of all layers it is asked for.

        Raises
        ------
        PromptError
            If what is drawn can't be used.
        """
        all_strokes = self._strokes.values()
        asked = [s for s in all_strokes if s.is_asked and s.layer in self._viewer.layers]
        found = []
        for strokes in asked:
            try:
                taken = strokes.read(place, again=again)
            except PromptError:
                strokes.is_asked = False  # what is drawn on other layers needn't wait for it
                raise
            if taken is not None:
                found.append((strokes, taken))
        for strokes in asked:
            strokes.is_asked = False
        return found

    def leave(self) -> None:
        """Hear no more of layers."""
        if self._heard is not None:
            _events_of(self._heard).disconnect(self._drawn)
            if isinstance(self._heard, Labels):
                self._heard.events.selected_label.disconnect(self._follow_label)
            self._heard = None

    def _drawable(self, _: object) -> list[DrawingLayer]:
        return [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Shapes | Points | Labels) and METADATA not in layer.metadata
        ]

    def _strokes_of(self, layer: DrawingLayer) -> Strokes:
        found = self._strokes.get(id(layer))
        if found is None or found.layer is not layer:
            found = self._strokes[id(layer)] = Strokes(layer)
        return found

    def _listen(self, layer: DrawingLayer | None) -> None:
        self.leave()
        there = {id(each) for each in self._viewer.layers}
        self._strokes = {key: each for key, each in self._strokes.items() if key in there}
        if layer is not None:
            self._heard = layer
            self._aim()
            _events_of(layer).connect(self._drawn)
            if isinstance(layer, Labels):
                layer.events.selected_label.connect(self._follow_label)

    def _aim(self) -> None:
        if self._heard is not None:
            aimed = self._strokes_of(self._heard)
            aimed.aim(int(self.object_id.value), positive=not self.negative.value)

    def _follow_label(self) -> None:
        """Take the object that was chosen in the controls of a labels layer."""
        layer = self._heard
        if isinstance(layer, Labels) and layer.selected_label:
            negative = layer.selected_label == negative_label(layer)
            if not negative:
                self.object_id.value = layer.selected_label
            self.negative.value = negative

    def _drawn(self, event: Any) -> None:
        if self._heard is None:
            return
        strokes = self._strokes_of(self._heard)
        is_painted = isinstance(self._heard, Labels)
        # Shapes and points tell of more than what is added.
        if is_painted or str(event.action) in ("added", "changed"):
            with suppress(NapariVosError):  # told when it is read
                strokes.note(self.place(), event.value if is_painted else ())
        if (is_painted or str(event.action) == "added") and self.automatic.value:
            strokes.is_asked = True
            self.requested.emit(False)


def _is_local(config: object | None) -> bool:
    return isinstance(config, InteractionConfig | MivosInteractionConfig) and config.local


def _events_of(layer: DrawingLayer) -> Any:
    return layer.events.paint if isinstance(layer, Labels) else layer.events.data

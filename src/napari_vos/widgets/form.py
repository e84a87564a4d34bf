"""The fields of the Propagate widget."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import napari.layers
from magicgui.types import FileDialogMode
from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FileEdit,
    Label,
    PushButton,
    SpinBox,
    create_widget,
)

from napari_vos._napari.job import EngineOptions
from napari_vos._napari.settings import read_setting
from napari_vos._napari.snapshot import UserFrames, take_image
from napari_vos.configs import EngineConfig, MivosConfig, refining
from napari_vos.engines import PROPAGATORS, PUBLISHED
from napari_vos.errors import FramesError
from napari_vos.session.spans import Direction
from napari_vos.widgets.layout import make_row
from napari_vos.widgets.machine import choose, make_device, make_precision

if TYPE_CHECKING:
    from napari_vos.session.settings import SessionSettings

_LINK = "#3d8fd8"


class PropagateForm:
    """What to propagate, how, and where to keep it.

    Attributes
    ----------
    layers
        The fields that choose layers.
    settings
        All others.
    """

    def __init__(self) -> None:
        self.image = layer_choice(
            napari.layers.Image, label="images", tooltip="A time-lapse (T, Y, X)."
        )
        self.labels = layer_choice(
            napari.layers.Labels,
            label="labels",
            tooltip="The layer on which you have painted objects, on one frame or more.",
        )
        self.new_labels = PushButton(
            text="New labels", tooltip="Add an empty labels layer of the images' size."
        )
        self.user_frames = ComboBox(
            label="prompts",
            choices=[str(each) for each in UserFrames],
            tooltip="Which frames of the labels layer are yours: they are propagated to others.",
        )
        self.direction = ComboBox(
            label="direction",
            choices=get_args(Direction),
            tooltip="Where to go in time from your frames.",
        )
        self.first = SpinBox(min=0, max=1, tooltip="First frame to predict.")
        self.last = SpinBox(min=0, max=1, value=1, tooltip="Last frame to predict.")
        span = make_row(self.first, self.last, label="frames")
        self.engine = ComboBox(
            label="engine", choices=PROPAGATORS, tooltip="What predicts the masks."
        )
        self.weights = FileEdit(
            label="weights",
            nullable=True,
            value=None,
            tooltip="A weights file; empty for those that come with the plugin. The engine "
            "'mivos' needs one, of its propagation network.",
        )
        self.fusion_weights = FileEdit(
            label="fusion weights",
            nullable=True,
            value=None,
            tooltip="The authors' fusion network; without it corrections are fused by distance "
            "in time.",
        )
        self.published = Label(label="")
        self.published.native.setOpenExternalLinks(True)
        self.device = make_device("Where the engine computes.")
        self.precision = make_precision("How the engine computes.")
        self.folder = FileEdit(
            label="session",
            mode=FileDialogMode.EXISTING_DIRECTORY,
            nullable=True,
            value=None,
            tooltip="A new folder, or that of a session to go on with; empty for a new one in "
            "your data folder.",
        )
        self.refine = CheckBox(
            text="Refine edges",
            tooltip="Find borders again in the image at each frame: of objects larger than their "
            "window with 'compact', of all with 'mivos' and 'mast', which then run at half scale.",
        )
        self.follow = CheckBox(
            text="Follow along",
            value=bool(read_setting("propagation", "follow", default=False)),
            tooltip="Move the view along with the frame in work.",
        )
        masks = make_row(self.labels, self.new_labels, label="labels")
        self.layers: Container[Any] = Container(widgets=[self.image, masks, self.user_frames])
        self.settings: Container[Any] = Container(
            widgets=[
                self.direction,
                span,
                self.engine,
                self.weights,
                self.fusion_weights,
                self.published,
                self.device,
                self.precision,
                self.refine,
                self.folder,
                self.follow,
            ]
        )
        self._filled = EngineOptions()
        self.image.changed.connect(self.fit_range)
        self.engine.changed.connect(self._fit_engine)
        self._fit_engine()

    @property
    def options(self) -> EngineOptions:
        """The engine that is asked for."""
        return EngineOptions(
            self.engine.value,
            self._config(),
            named_path(self.weights, self._filled.weights),
            self.device.value,
            self.precision.value,
        )

    def _config(self) -> EngineConfig | None:
        """Return the settings of the engine; those that no field shows are the session's."""
        engine = self.engine.value
        config = self._filled_config if self._filled.engine == engine else None
        if engine == "mivos":
            kept = config if isinstance(config, MivosConfig) else MivosConfig()
            fusion = named_path(self.fusion_weights, kept.fusion_weights)
            if fusion != kept.fusion_weights:
                config = replace(kept, fusion_weights=None if fusion is None else str(fusion))
        if self.refine.value and not _refines(config):
            return refining(engine, config)
        if config is not None and _refines(config) and not self.refine.value:
            return replace(config, refine="no")
        return config

    @property
    def session_folder(self) -> Path | None:
        """The folder that is asked for."""
        return chosen_path(self.folder)

    @property
    def frames(self) -> tuple[int, int] | None:
        """The range that is asked for; None for all frames."""
        chosen = (int(self.first.value), int(self.last.value))
        return None if chosen == (0, self.last.max) else chosen

    def fill(self, settings: SessionSettings, n_frames: int) -> None:
        """Show the settings of a session.

        What no field shows of its engine is kept as long as that engine is chosen.
        """
        self._filled = filled = EngineOptions.of(settings.engine)
        config = self._filled_config
        choose(self.engine, filled.engine)
        choose(self.device, filled.device)
        choose(self.precision, filled.precision)
        name_path(self.weights, filled.weights)
        fusion = config.fusion_weights if isinstance(config, MivosConfig) else None
        name_path(self.fusion_weights, fusion)
        self.refine.value = _refines(config)
        self.direction.value = settings.reach.direction
        self._offer_frames(n_frames)
        self.first.value, self.last.value = settings.reach.frames or (0, n_frames - 1)

    def forget(self) -> None:
        """Keep nothing of a session but what the fields show."""
        self._filled = EngineOptions()

    def fit_range(self) -> None:
        """Offer the frames of the chosen images."""
        with suppress(FramesError):  # images that can't be used have no frames to offer
            image = take_image(self.image.value)
            self._offer_frames(image.shape[image.letters.index("T")])

    @property
    def _filled_config(self) -> EngineConfig | None:
        config = self._filled.config
        return config if isinstance(config, EngineConfig) else None

    def _offer_frames(self, n_frames: int) -> None:
        last = max(1, n_frames - 1)
        if last != self.last.max:
            self.first.max = self.last.max = last
            self.first.value, self.last.value = 0, last

    def _fit_engine(self) -> None:
        """Ask for the files that the chosen engine needs, and say where they are."""
        address = PUBLISHED.get(self.engine.value)
        self.fusion_weights.visible = self.engine.value == "mivos"
        self.published.visible = address is not None
        self.published.value = where_published(address)


def where_published(address: str | None) -> str:
    """Return a line with a link that is legible on dark and on light."""
    link = f'<a href="{address}" style="color: {_LINK}">published by the authors</a>'
    return f"Weights are {link}."


def layer_choice(kind: type, *, label: str, tooltip: str) -> Any:
    """Return a combo box with the viewer's layers of a kind."""
    return create_widget(annotation=kind, label=label, options={"tooltip": tooltip})


def _refines(config: EngineConfig | None) -> bool:
    return config is not None and config.refine != "no"


def chosen_path(field: FileEdit) -> Path | None:
    """Return the file or folder that a field names; None if it is empty."""
    value = cast("Path | None", field.value)
    return None if value is None or str(value) in ("", ".") else value


def name_path(field: FileEdit, path: str | Path | None) -> None:
    """Let a field name a file, or one of the registered weights, as it is written."""
    field.line_edit.value = "" if path is None else str(path)


def named_path(field: FileEdit, kept: str | Path | None) -> str | Path | None:
    """Return what a field names, as it was written if `name_path` was told the same."""
    chosen = chosen_path(field)
    return kept if chosen is not None and kept is not None and chosen == Path(kept) else chosen

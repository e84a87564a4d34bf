"""What the fields of the Propagate widget say, taken for work; and what sessions say in them.

Main thread only.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from napari_vos._napari.drawing import combine
from napari_vos._napari.folders import is_session
from napari_vos._napari.job import DrawJob, EngineOptions, Job
from napari_vos._napari.snapshot import (
    METADATA,
    UserFrames,
    shown_frame,
    take_image,
    take_prompts,
)
from napari_vos.errors import FramesError
from napari_vos.prompts import draw
from napari_vos.session.settings import SessionSettings
from napari_vos.store.folder import read_about
from napari_vos.widgets.steps import Aim

if TYPE_CHECKING:
    import numpy as np
    from napari.components import ViewerModel
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_vos._napari.desk import Desk
    from napari_vos._napari.drawing import Place
    from napari_vos._napari.strokes import Strokes, Taken
    from napari_vos.widgets.draw import DrawPanel
    from napari_vos.widgets.form import PropagateForm


class Chosen:
    """Takes jobs of what is chosen and drawn, and shows the settings of what is chosen.

    Parameters
    ----------
    viewer
        The window.
    form, draw
        The fields.
    desk
        What holds the sessions.
    """

    def __init__(
        self, viewer: ViewerModel, form: PropagateForm, draw: DrawPanel, desk: Desk
    ) -> None:
        self._viewer = viewer
        self._form = form
        self._draw = draw
        self._desk = desk
        self._filled: Path | None = None

    @property
    def folder(self) -> Path | None:
        """The session that is named, or whose results are chosen."""
        layer = self._form.labels.value
        own = None if layer is None else layer.metadata.get(METADATA)
        return self._form.session_folder or (Path(own["session"]) if own else None)

    def aim(self) -> Aim | None:
        """Return the session on what is chosen, if it's open here, and where the user is."""
        try:
            image = take_image(self._form.image.value)
        except FramesError:
            return None
        session = self._desk.sessions.find(image, self.folder)
        t = shown_frame(image, self._viewer)
        object_id = int(self._draw.object_id.value)
        return None if session is None else Aim(image, session, t, object_id)

    def fill(self) -> None:
        """Show the settings of the session that is chosen, if another one was before.

        What the user changes then is meant for it. A new session gets what the fields show,
        and nothing else of an earlier one.

        Raises
        ------
        StoreError
            If the session is damaged.
        """
        before, folder = self._filled, self._session
        self._filled = folder
        if folder == before:
            return
        if folder is None or not is_session(folder):
            self._form.forget()
            self._draw.forget()
            return
        about = read_about(folder)
        settings = SessionSettings.from_json(about)
        self._form.fill(settings, about["frames"]["n_frames"])
        self._draw.fill(EngineOptions.of(settings.interactor))

    def keep(self) -> None:
        """Take what the fields say for the settings of the session that was opened with them."""
        self._filled = self._session

    def check_images(self, folder: Path) -> None:
        """Check that the chosen images can be those of a session; only their size is compared.

        Raises
        ------
        FramesError
            If they can't.
        """
        about = read_about(folder)["frames"]
        expected = about["n_frames"], *about["shape"]
        layer = self._form.image.value
        with suppress(FramesError):
            image = take_image(layer)
            if tuple(image.shape[image.letters.index(axis)] for axis in "TYX") == expected:
                return
        chosen = "no images are chosen" if layer is None else f"'{layer.name}' doesn't fit it"
        raise FramesError(
            f"The session '{folder}' was made on '{about['name']}', {expected[0]} frames of "
            f"{expected[1:]} pixels, and {chosen}. Open those, choose them under 'images', and "
            "press Propagate."
        )

    @property
    def _session(self) -> Path | None:
        """The folder of the session that is chosen, whether it's open or not."""
        aim = self.aim()
        found = self.folder if aim is None else aim.session.folder
        return None if found is None else found.resolve()

    def take(self) -> Job:
        """Return what a press of Propagate means.

        Raises
        ------
        NapariVosError
            If the layers can't be used.
        """
        form = self._form
        image, layer = take_image(form.image.value), form.labels.value
        user_frames = UserFrames(form.user_frames.value)
        prompts = None
        if layer is not None and METADATA in layer.metadata:
            t = shown_frame(image, self._viewer)
            if user_frames is UserFrames.SHOWN and t is not None:
                self._desk.corrections.note(Path(layer.metadata[METADATA]["session"]), [t])
        elif user_frames is not UserFrames.DRAWN and not self._is_only_drawn(layer):
            prompts = take_prompts(layer, image, self._viewer, user_frames)
        return Job(image, prompts, form.options, form.frames, form.direction.value, self.folder)

    def take_rest(self) -> Job:
        """Return the propagation of what the session was told, or is about to be.

        Raises
        ------
        FramesError
            If the images can't be used.
        """
        image, form = take_image(self._form.image.value), self._form
        return Job(image, None, form.options, form.frames, form.direction.value, self.folder)

    def take_drawn(
        self, place: Place, *, again: bool
    ) -> tuple[DrawJob, list[tuple[Strokes, Taken]]]:
        """Return a job that makes masks of what is drawn, and of which strokes.

        Raises
        ------
        PromptError
            If they can't be used.
        """
        found = self._draw.read(place, again=again)
        drawings = combine(taken.drawings for _, taken in found)
        options = self._form.options
        return DrawJob(place.snapshot, drawings, self._draw.chosen, options, self.folder), found

    def take_parts(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
        """Return the new strokes on the two parts of the current object; None without any.

        Raises
        ------
        PromptError
            If they can't be used.
        """
        aim, strokes = self.aim(), self._draw.strokes
        if aim is None or strokes is None:
            return None
        taken = strokes.read(self._draw.place(), again=False)
        if taken is None or aim.t not in taken.drawings:
            return None
        _, n_rows, n_columns = aim.session.labels.shape
        lines = draw(taken.drawings[aim.t].prompts, (n_rows, n_columns))
        strokes.keep(taken.on(aim.t))
        return lines.inside(aim.object_id), lines.outside(aim.object_id)

    def _is_only_drawn(self, layer: Labels | None) -> bool:
        """Return whether what is painted on a layer are strokes, of which masks are made."""
        return layer is not None and layer is self._draw.layer.value

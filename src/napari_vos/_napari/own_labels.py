"""Training the detector on labels layers of the window."""

from __future__ import annotations

import re
from collections.abc import Collection, Generator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_data_path

from napari_vos._napari.alignment import check_alignment
from napari_vos._napari.snapshot import METADATA, ImageSnapshot, read_frame
from napari_vos.errors import PromptError
from napari_vos.session.ledger import Ledger
from napari_vos.session.view import SessionView
from napari_vos.store.folder import SessionFolder

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_vos.training.own_cells import Progress


@dataclass(frozen=True, eq=False)
class LayerLabels:
    """A labels layer as labels (T, Y, X), read frame by frame.

    Attributes
    ----------
    data
        Its array.
    letters
        One letter per dimension of `data`.
    shape
        (T, Y, X).
    session
        The folder of the session whose results it shows; None if it shows none.
    """

    data: Any
    letters: str
    shape: tuple[int, int, int]
    session: Path | None

    def __getitem__(self, t: int) -> NDArray[Any]:
        return read_frame(self.data, self.letters, t)


@dataclass(frozen=True, eq=False)
class TrainingJob:
    """What is to be learned from.

    Attributes
    ----------
    image
        The images.
    labels
        Their cells.
    ignored
        Not 0 where it isn't known what there is; None for nowhere.
    frames
        Frames whose masks are right; None for all that hold any, or in results those
        on which the user has marked objects.
    is_complete
        Whether all cells of these frames have a mask.
    out
        Folder for the weights; a stopped training there is gone on with.
    start_from
        Weights to begin with; None for those of the package.
    minutes
        How long at most.
    """

    image: ImageSnapshot
    labels: LayerLabels
    ignored: LayerLabels | None
    frames: Collection[int] | None
    is_complete: bool
    out: Path
    start_from: Path | None
    minutes: float

    def run(self) -> Generator[Progress]:
        """Read the layers, train, and yield after every step; see `learn`."""
        from napari_vos.training.own_cells import OwnCellsTraining, learn
        from napari_vos.training.own_labels import gather

        frames = self.frames
        if frames is None and self.labels.session is not None:
            frames = user_frames_of(self.labels.session)
        annotated = gather(
            self.image.open(),
            self.labels,
            annotated=frames,
            incomplete=() if self.is_complete else range(self.labels.shape[0]),
            ignored=self.ignored,
        )
        yield from learn(
            annotated,
            OwnCellsTraining(self.out, start_from=self.start_from, minutes=self.minutes),
        )


def take_labels(layer: Labels | None, image: ImageSnapshot) -> LayerLabels:
    """Return a labels layer as it is referred to in the worker.

    Raises
    ------
    PromptError
        If there is no layer, or it doesn't fit the images.
    """
    if layer is None:
        raise PromptError(
            "No labels layer is chosen. Paint the cells of a few frames on one, each cell with a "
            "label of its own."
        )
    data = layer.data[0] if layer.multiscale else layer.data
    shape = tuple(int(length) for length in data.shape)
    n_frames, rows, columns = (image.shape[image.letters.index(axis)] for axis in "TYX")
    letters = {image.shape: image.letters, (n_frames, rows, columns): "TYX"}.get(shape)
    if letters is None:
        raise PromptError(
            f"The labels layer '{layer.name}' has shape {shape}; the images '{image.name}' have "
            f"{image.shape}. Choose a layer of the same size."
        )
    check_alignment(layer, letters, image)
    about = layer.metadata.get(METADATA)
    session = None if about is None else Path(about["session"])
    return LayerLabels(data, letters, (n_frames, rows, columns), session)


def user_frames_of(session: Path) -> tuple[int, ...]:
    """Return the frames of a session on which the user has marked objects.

    Raises
    ------
    StoreError
        If the folder can't be read.
    """
    ledger = Ledger(SessionFolder.open(session, read_only=True), undo_bytes=0)
    return SessionView(ledger).user_frames()


def training_folder(name: str) -> Path:
    """Return a folder for weights that learn from images of this name; it isn't made yet."""
    stem = re.sub(r"[^\w-]+", "_", name).strip("_")[:40] or "cells"
    stamp = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    return user_data_path("napari-vos") / "weights" / f"{stem}_{stamp}"

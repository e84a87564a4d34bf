"""`napari-vos segment`: the instances of each frame."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import typer

from napari_vos.cli.options import (
    AsJson,
    Axes,
    Channels,
    Device,
    Frames,
    LabelOutput,
    Precision,
    Weights,
    parse_channels,
    parse_frames,
    report,
)
from napari_vos.configs import CellsConfig
from napari_vos.engines.coco import CLASSES
from napari_vos.errors import NapariVosError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.engines.base import Detector
    from napari_vos.frames import FrameStack


class Thresholds(NamedTuple):
    """What counts as an instance; see `RawDetections.instances`."""

    score: float
    overlap: float
    kind: tuple[int, ...] | None


def segment(
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="The time-lapse.", show_default=False)
    ],
    output: LabelOutput,
    detector: Annotated[
        str, typer.Option(help="'cells', or 'yolact' for models that its authors publish.")
    ] = "cells",
    weights: Weights = None,
    diameter: Annotated[
        float | None,
        typer.Option(
            metavar="PIXELS",
            help="Typical diameter of cells: frames are scaled for it. As they are if not given.",
        ),
    ] = None,
    score: Annotated[
        float, typer.Option(min=0, max=1, help="What is less likely an instance is left out.")
    ] = 0.3,
    overlap: Annotated[
        float,
        typer.Option(min=0, max=1, help="Of two that overlap (IoU) more the worse is left out."),
    ] = 0.5,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME,…",
            help="Of the 80 classes that published models know, such as cat,dog; all if not given.",
        ),
    ] = None,
    frames: Frames = None,
    device: Device = "auto",
    precision: Precision = "auto",
    axes: Axes = None,
    channels: Channels = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find the instances of each frame, each frame by itself.

    IMAGES is a TIFF, OME-TIFF or zarr file, a folder with one image per frame,
    or video. Labels begin with 1 on each frame, the most certain instance first;
    the same label on two frames means nothing. Frames that --frames leaves out
    are empty.
    """
    from napari_vos.engines import create_detector
    from napari_vos.io import open_frames, write_labels

    stack = open_frames(images, axes=axes, channels=parse_channels(channels))
    chosen = parse_frames(frames, stack.n_frames)
    kinds = _kinds(detector, classes)
    finder = create_detector(
        detector,
        stack,
        config=_config(detector, diameter),
        weights=weights,
        device=device,
        precision=precision,
    )
    found = _Found(finder, stack, chosen, Thresholds(score, overlap, kinds))
    write_labels(output, found, overwrite=overwrite)
    found.bar.close()
    n_instances = sum(found.counts)
    report(
        {
            "output": output,
            "n_frames": len(chosen),
            "n_instances": n_instances,
            "instances": found.counts,
            "plan": dict(finder.plan),
        },
        f"{n_instances} instances on {len(chosen)} frames: '{output}'",
        as_json=as_json,
    )


def _config(detector: str, diameter: float | None) -> CellsConfig | None:
    if diameter is None:
        return None
    if detector != "cells":
        raise NapariVosError(
            f"--diameter is for the detector 'cells', and this run is with '{detector}'. Leave it "
            "away."
        )
    return CellsConfig(diameter=diameter)


def _kinds(detector: str, classes: str | None) -> tuple[int, ...] | None:
    if classes is None:
        return None
    if detector != "yolact":
        raise NapariVosError(
            f"--classes is for the detector 'yolact', and this run is with '{detector}'. Leave it "
            "away."
        )
    names = [name.strip() for name in classes.split(",")]
    for name in names:
        if name not in CLASSES:
            near = get_close_matches(name, CLASSES)
            raise NapariVosError(
                f"There is no class '{name}' in --classes; expected some of "
                f"{', '.join(near or CLASSES)}."
            )
    return tuple(CLASSES.index(name) for name in names)


class _Found:
    """Labels of a stack that are made as they are read, in order."""

    dtype = np.dtype(np.uint16)

    def __init__(
        self, detector: Detector, stack: FrameStack, frames: range, thresholds: Thresholds
    ) -> None:
        self.counts: list[int] = []
        self.shape = (stack.n_frames, *stack.shape)
        self._detector = detector
        self._frames = frames
        self._thresholds = thresholds
        self._name = Path(stack.name).name

    def __getitem__(self, t: int) -> NDArray[np.uint16]:
        if t not in self._frames:
            return np.zeros(self.shape[1:], self.dtype)
        instances = self._detector.detect(t).instances(**self._thresholds._asdict())
        self.counts.append(len(instances.scores))
        self.bar.update()
        return instances.labels

    @cached_property
    def bar(self) -> Any:
        """The progress; it isn't shown before the first frame is done."""
        from tqdm import tqdm

        return tqdm(desc=self._name, unit="frame", total=len(self._frames))

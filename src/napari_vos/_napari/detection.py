"""Finding instances in the background of a window."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_vos.engines import create_detector
from napari_vos.errors import PromptError
from napari_vos.store.cache import ByteCache

if TYPE_CHECKING:
    from napari_vos._napari.snapshot import ImageSnapshot
    from napari_vos.configs import CellsConfig
    from napari_vos.engines.base import Combination, Detector, FrameInstances, RawDetections

MEMORY = 2**30
"""Bytes of raw detections that are kept; thresholds can be moved on those frames."""


@dataclass(frozen=True)
class DetectorOptions:
    """The detector that is asked for, as `create_detector` takes it."""

    name: str = "cells"
    config: CellsConfig | None = None
    weights: Path | None = None
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True)
class Thresholds:
    """What counts as an instance; see `RawDetections.instances`."""

    score: float = 0.3
    overlap: float = 0.5
    kind: int | None = None


@dataclass(frozen=True, eq=False)
class Found:
    """The instances of a frame."""

    t: int
    instances: FrameInstances


class Sight:
    """What a detector has seen of some images. Used by one worker at a time.

    Parameters
    ----------
    image
        The images.
    options
        The detector.
    """

    def __init__(self, image: ImageSnapshot, options: DetectorOptions) -> None:
        self.image = image
        self.options = options
        self._detector: Detector | None = None
        self._seen: ByteCache[RawDetections] = ByteCache(MEMORY)

    def fits(self, image: ImageSnapshot, options: DetectorOptions) -> bool:
        """Return whether these are its own images and options."""
        return self.image.is_same(image) and self.options == options

    def look(self, frames: Iterable[int], thresholds: Callable[[], Thresholds]) -> Generator[Found]:
        """Yield the instances of frames, looking at those that haven't been seen.

        Raises
        ------
        NapariVosError
            If images, weights or device can't be used.
        """
        for t in frames:
            raw = self._seen.get(str(t))
            if raw is None:
                if self._detector is None:
                    options = dict(vars(self.options))
                    self._detector = create_detector(
                        options.pop("name"), self.image.open(), **options
                    )
                raw = self._detector.detect(t)
                self._seen.put(str(t), raw, raw.nbytes)
            yield Found(t, raw.instances(**vars(thresholds())))

    def look_again(
        self, frames: Iterable[int], thresholds: Callable[[], Thresholds]
    ) -> Generator[Found]:
        """Yield the instances of those frames whose raw detections are kept."""
        return self.look((t for t in frames if self._seen.get(str(t)) is not None), thresholds)

    def combination(self, t: int, label: int, thresholds: Thresholds) -> Generator[Combination]:
        """Yield how the mask of an instance is made.

        Raises
        ------
        PromptError
            If the frame isn't kept, or no instance of it has this label.
        """
        raw = self._seen.get(str(t))
        if raw is None:
            raise PromptError(f"What was seen on frame {t} isn't kept. Search it again.")
        n_instances = len(raw.instances(**vars(thresholds)).scores)
        if not 1 <= label <= n_instances:
            raise PromptError(
                f"No instance on frame {t} has label {label}; there are {n_instances}. Choose one "
                "with the colour picker of its layer."
            )
        yield raw.combination(label, **vars(thresholds))

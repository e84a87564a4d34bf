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
    """The instances of a frame, and the hash of the weights file that was named."""

    t: int
    instances: FrameInstances
    weights: str | None


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
        self._weights: str | None = None
        self._detector: Detector | None = None
        self._seen: ByteCache[RawDetections] = ByteCache(MEMORY)

    def fits(self, image: ImageSnapshot, options: DetectorOptions) -> bool:
        """Return whether these are its own images and options."""
        return self.image.is_same(image) and self.options == options

    def look(self, frames: Iterable[int], thresholds: Callable[[], Thresholds]) -> Generator[Found]:
        """Yield the instances of frames, looking at those that haven't been seen.

        All is forgotten if the weights file isn't as it was.

        Raises
        ------
        NapariVosError
            If images, weights or device can't be used.
        """
        # Here and not above, since it loads torch.
        from napari_vos.checkpoints import content_of

        weights = content_of(self.options.weights)
        if weights != self._weights:
            self._weights, self._detector, self._seen = weights, None, ByteCache(MEMORY)
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
            yield self._found(t, raw, thresholds)

    def look_again(
        self, frames: Iterable[int], thresholds: Callable[[], Thresholds]
    ) -> Generator[Found]:
        """Yield the instances of those frames whose raw detections are kept."""
        for t in frames:
            raw = self._seen.get(str(t))
            if raw is not None:
                yield self._found(t, raw, thresholds)

    def _found(self, t: int, raw: RawDetections, thresholds: Callable[[], Thresholds]) -> Found:
        return Found(t, raw.instances(**vars(thresholds())), self._weights)

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

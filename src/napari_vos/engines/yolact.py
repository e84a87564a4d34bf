"""YOLACT as a detector: instances of a frame in one pass.

Bolya et al., "YOLACT: Real-time Instance Segmentation", ICCV 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_vos import checkpoints
from napari_vos.configs import YolactConfig
from napari_vos.engines import PUBLISHED
from napari_vos.engines.colours import colour_channels, is_natural
from napari_vos.engines.yolact_network import RunningYolact
from napari_vos.errors import WeightsError
from napari_vos.networks.yolact import prepare_images

if TYPE_CHECKING:
    from torch import Tensor

    from napari_vos.engines.yolact_detections import YolactDetections
    from napari_vos.frames import FrameStack

BRIGHTEST = 255


@dataclass(frozen=True)
class YolactDetector:
    """Finds instances with a published model, or another one of the same design.

    Make one with `YolactDetector.create`.
    """

    frames: FrameStack
    config: YolactConfig
    running: RunningYolact

    @classmethod
    def create(
        cls,
        frames: FrameStack,
        *,
        config: YolactConfig | None = None,
        weights: str | Path | None = None,
        device: str = "auto",
        precision: str = "auto",
    ) -> YolactDetector:
        """Load the network that the weights are for.

        Raises
        ------
        NapariVosError
            If no weights are named, or the weights, the device or the precision
            can't be used.
        """
        config = config or YolactConfig()
        if weights is None:
            raise WeightsError(
                "The detector 'yolact' comes without weights: name a file of those that the "
                f"authors publish at {PUBLISHED['yolact']}."
            )
        path = checkpoints.resolve(weights, "yolact_base")
        found = checkpoints.identify(path).network
        name = found if found.startswith("yolact_") else "yolact_base"
        running = RunningYolact.load(
            "yolact", name, path, config, device=device, precision=precision
        )
        return cls(frames, config, running)

    @property
    def plan(self) -> Mapping[str, object]:
        """See `Detector.plan`."""
        return self.running.plan

    @torch.inference_mode()
    def detect(self, t: int) -> YolactDetections:
        """Return what there may be on frame `t`; see `Detector.detect`."""
        design = self.running.network.design
        image = show(self.frames, t).to(self.running.device)
        predicted = self.running.predict(prepare_images(image, design, self.config.size))
        return self.running.detections(
            predicted, 0, size=self.frames.shape, max_instances=self.config.max_instances
        )


def show(frames: FrameStack, t: int) -> Tensor:
    """Return frame `t` as YOLACT takes it: (1, 3, Y, X) float32 in [0, 255].

    Colour images of 8 bits stay as they are; of all others the range of the
    movie becomes 0 to 255, without rounding, and what is beyond is cut. Grey is
    shown as grey, two channels as red and as green and blue.
    """
    if is_natural(frames):
        planes = frames.read(t)[list(frames.channels)].astype(np.float32)
    else:
        normalized = frames.normalized(t).clip(0, 1) * np.float32(BRIGHTEST)
        planes = normalized[colour_channels(len(normalized))]
    return torch.from_numpy(planes)[None]

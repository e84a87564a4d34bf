"""Scribble to mask with MiVOS: the strokes of all objects become masks that don't overlap.

Cheng, Tai, Tang, CVPR 2021, section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch

from napari_vos import checkpoints
from napari_vos.configs import MivosInteractionConfig
from napari_vos.device import choose_device, choose_precision
from napari_vos.engines import PUBLISHED
from napari_vos.engines.mivos_frames import normalized_image
from napari_vos.errors import PromptError, WeightsError
from napari_vos.networks.mivos import aggregate
from napari_vos.networks.mivos.propagation import STRIDE
from napari_vos.networks.padding import Padding
from napari_vos.store.evidence import Box, window_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_vos.frames import FrameStack
    from napari_vos.networks.mivos import ScribbleToMaskNetwork
    from napari_vos.prompts import Drawing

LOCAL_MARGIN = 64
"""Pixels around the strokes that change in local mode, at least."""


class Aggregation(NamedTuple):
    """How objects compete; see `napari_vos.networks.mivos.aggregate`."""

    static_background: bool
    hard: bool


AGGREGATIONS = {"scribble": Aggregation(False, True), "point": Aggregation(True, True)}
"""By kind of prompt, as the authors' application has it.

Its third kind, painting, is soft with static background: that leaves a painted
mask as it is, so the session takes masks as they come.
"""


@dataclass(frozen=True)
class MivosInteractor:
    """Makes masks of scribbles, object by object, on the whole frame.

    In local mode the network sees the window around the strokes of an object,
    and outside of it the object's mask stays as it was.

    Make one with `MivosInteractor.create`.
    """

    frames: FrameStack
    config: MivosInteractionConfig
    network: ScribbleToMaskNetwork
    plan: Mapping[str, object]

    @classmethod
    def create(
        cls,
        frames: FrameStack,
        *,
        config: MivosInteractionConfig | None = None,
        weights: str | Path | None = None,
        device: str = "auto",
        precision: str = "auto",
    ) -> MivosInteractor:
        """Load the network.

        Raises
        ------
        NapariVosError
            If no weights are named, or weights, device or precision can't be used.
        """
        if weights is None:
            raise WeightsError(
                "The interactor 'mivos' comes without weights: name the file of its network from "
                f"scribbles to masks (S2M), which the authors publish at {PUBLISHED['mivos']}. The "
                "interactor 'random_walker' needs none."
            )
        config = config or MivosInteractionConfig()
        path = checkpoints.resolve(weights, "mivos_scribble")
        chosen = choose_device(device)
        dtype = choose_precision(precision, chosen)
        network = checkpoints.load_network("mivos_scribble", path).to(chosen, dtype)
        plan = {
            "interactor": "mivos",
            "weights": path.name,
            "weights_sha256": checkpoints.sha256_of(path),
            "config": asdict(config),
            "device": chosen.type,
            "precision": str(dtype).removeprefix("torch."),
            "torch": torch.__version__,
        }
        return cls(frames, config, cast("ScribbleToMaskNetwork", network), plan)

    @torch.inference_mode()
    def segment(self, drawing: Drawing, previous: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Return the masks of the objects that are drawn; see `Interactor.segment`.

        Raises
        ------
        PromptError
            If a box is drawn: the network has learnt from strokes alone.
        """
        if drawing.boxes:
            raise PromptError(
                f"MiVOS takes scribbles and points, and object {min(drawing.boxes)} on frame "
                f"{drawing.t} has a box. Draw a scribble in it, or choose the interactor "
                "'random_walker'."
            )
        probabilities = self.probabilities(drawing, previous)
        kinds = {prompt.kind for prompt in drawing.prompts}
        rules = AGGREGATIONS["point" if kinds == {"point"} else "scribble"]
        others = (previous > 0) & ~np.isin(previous, drawing.object_ids)
        # Where two are equal the first wins.
        competing = torch.cat([_mask(others, probabilities), probabilities])
        winners = aggregate(competing, **rules._asdict()).argmax(dim=0)[0].cpu().numpy()
        labels: NDArray[np.uint16] = np.array([0, 0, *drawing.object_ids], np.uint16)[winners]
        return labels

    @torch.inference_mode()
    def probabilities(self, drawing: Drawing, previous: NDArray[np.uint16]) -> Tensor:
        """Return (K, 1, Y, X) float32 in [0, 1], each object of a drawing as if it were alone."""
        parameter = next(self.network.parameters())
        image = normalized_image(self.frames, drawing.t).to(parameter.device)
        planes = []
        for i in drawing.object_ids:
            window = self._window(drawing, i).slices
            size = previous[window].shape
            padding = Padding.to_multiple(STRIDE, (size[0], size[1]))
            maps = (previous[window] == i, drawing.inside(i, window), drawing.outside(i, window))
            inputs = (image[..., *window], *(_mask(each, image) for each in maps))
            logits = self.network(*(padding.add(each).to(parameter.dtype) for each in inputs))
            plane = _mask(previous == i, image)
            plane[..., *window] = padding.remove(logits.float().sigmoid())
            planes.append(plane)
        return torch.cat(planes)

    def _window(self, drawing: Drawing, object_id: int) -> Box:
        """Return what the network sees: all, or in local mode the surroundings of strokes."""
        height, width = drawing.positive.shape
        whole = Box(0, 0, height, width)
        if not self.config.local:
            return whole
        strokes = drawing.inside(object_id)
        if object_id in drawing.negatives:
            strokes = strokes | drawing.negatives[object_id]
        found = window_of(strokes) or whole
        margin = max(LOCAL_MARGIN, *found.shape)
        return Box(
            max(0, found.top - margin),
            max(0, found.left - margin),
            min(height, found.bottom + margin),
            min(width, found.right + margin),
        )


def _mask(mask: NDArray[np.bool_], like: Tensor) -> Tensor:
    """Return (1, 1, height, width) float32 where `like` is."""
    return torch.from_numpy(mask).to(like.device, torch.float32)[None, None]

"""A YOLACT network with weights, ready to run: what all detectors of this kind share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from napari_vos import checkpoints
from napari_vos.device import choose_device, choose_precision
from napari_vos.engines.plans import machine
from napari_vos.engines.yolact_detections import YolactDetections
from napari_vos.networks.yolact import ACTIVATIONS, CLASS_SCORES, select_candidates

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from napari_vos.configs import CellsConfig, YolactConfig
    from napari_vos.networks.yolact import Prediction, Yolact


@dataclass(frozen=True)
class RunningYolact:
    """A network in evaluation mode.

    Attributes
    ----------
    network
        It, with its weights, on `device` and of `dtype`.
    device, dtype
        Where and how it computes.
    plan
        See `Detector.plan`.
    """

    network: Yolact
    device: torch.device
    dtype: torch.dtype
    plan: Mapping[str, object]

    @classmethod
    def load(
        cls,
        engine: str,
        name: str,
        path: Path,
        config: CellsConfig | YolactConfig,
        *,
        device: str,
        precision: str,
    ) -> RunningYolact:
        """Load the network `name` for a detector.

        Raises
        ------
        NapariVosError
            If the weights, the device or the precision can't be used.
        """
        chosen = choose_device(device)
        dtype = choose_precision(precision, chosen)
        network = cast("Yolact", checkpoints.load_network(name, path).to(chosen, dtype))
        plan: dict[str, object] = {
            "engine": engine,
            "network": name,
            "weights": path.name,
            "weights_sha256": checkpoints.sha256_of(path),
            "config": asdict(config),
            **machine(chosen, dtype),
        }
        return cls(network, chosen, dtype, plan)

    def predict(self, images: Tensor) -> Prediction:
        """Return what is in images (B, 3, S, S), in main memory, float32."""
        found: Prediction = self.network(images.to(self.device, self.dtype))
        said = {key: values for key, values in found._asdict().items() if values is not None}
        return found._replace(**{key: values.float().cpu() for key, values in said.items()})

    def detections(
        self, predicted: Prediction, index: int, *, size: tuple[int, int], max_instances: int
    ) -> YolactDetections:
        """Return what there may be on one image of a batch.

        Parameters
        ----------
        predicted, index
            What `predict` has returned, and the number of the image.
        size
            (Y, X) that the image stands for.
        max_instances
            No more are kept.
        """
        design = self.network.design
        return YolactDetections(
            select_candidates(predicted, index, score_classes=CLASS_SCORES[design.class_scores]),
            predicted.prototypes[index],
            size,
            self.score_masks if design.scores_masks else None,
            max_instances,
            ACTIVATIONS[design.mask_activation],
        )

    def score_masks(self, masks: Tensor) -> Tensor:
        """Return how well masks (D, 1, H, W) are expected to fit, (D, classes) float32.

        Only for a network that judges masks.
        """
        judge = cast("torch.nn.Module", self.network.maskiou_net)
        scores: Tensor = judge(masks.to(self.device, self.dtype))
        return scores.float().cpu()

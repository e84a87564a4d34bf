"""Reference numbers: weights made from key names and shapes, and what they must give.

Small files lie in golden_arrays/, the others in the reference folder that
`NAPARI_VOS_REFERENCE` names; a test that needs one which isn't there skips.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

GAINS: dict[str, dict[str, float]] = {
    "mivos_prop": {
        "kv_m_f16.key_proj.weight": 3.0,
        "kv_q_f16.key_proj.weight": 3.0,
        "kv_m_f16.val_proj.weight": 6.0,
        "mask_rgb_encoder.conv1.weight": 3.0,
        "decoder.up_16_8.skip_conv1.weight": 0.3,
        "decoder.up_8_4.skip_conv1.weight": 0.3,
        "decoder.pred.weight": 1.5,
        "decoder.pred.bias": 120.0,
    },
    "mivos_fusion": {"final_conv.weight": 4.0, "final_conv.bias": -400.0},
    "mivos_s2m": {
        "classifier.classifier.3.weight": 12.0,
        "classifier.classifier.3.bias": -70.0,
    },
    "pointrend_head": {},
    "yolact_resnet50": {"prediction_layers.0.conf_layer.weight": 2.0},
    "yolact_darknet53": {
        "fpn.lat_layers.*": 0.25,
        "prediction_layers.0.conf_layer.weight": 2.0,
    },
    "yolact_maskiou": {},
}
"""What the weights of a few keys are multiplied with, so that outputs are spread.

A key that ends in * means all that begin so.
"""


def golden_file(name: str) -> Path:
    """A file of reference numbers; skips the test if it isn't there."""
    committed = Path(__file__).with_name("golden_arrays") / name
    if committed.exists():
        return committed
    folder = os.environ.get("NAPARI_VOS_REFERENCE")
    if not folder:
        pytest.skip("NAPARI_VOS_REFERENCE doesn't name the reference folder")
    return Path(folder) / "golden" / name


def golden_arrays(name: str) -> dict[str, Tensor]:
    """The arrays of `name`.npz."""
    with np.load(golden_file(f"{name}.npz")) as arrays:
        return {key: torch.from_numpy(array) for key, array in arrays.items()}


def golden_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """The keys and shapes of a state dict, in their order."""
    shapes = json.loads(golden_file(f"{name}.keys.json").read_text())
    return {key: tuple(shape) for key, shape in shapes.items()}


def shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def golden_weights(
    shapes: Mapping[str, tuple[int, ...]], gains: Mapping[str, float]
) -> dict[str, Tensor]:
    return {key: _golden_weight(key, shape, _gain(key, gains)) for key, shape in shapes.items()}


def _gain(key: str, gains: Mapping[str, float]) -> float:
    return next((gain for pattern, gain in gains.items() if fnmatchcase(key, pattern)), 1)


def _golden_weight(key: str, shape: tuple[int, ...], gain: float) -> Tensor:
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    drawn = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    if key.endswith("running_mean"):
        drawn *= np.float32(0.1)
    elif key.endswith("running_var"):
        drawn = np.float32(1) + np.float32(0.1) * np.abs(drawn)
    elif len(shape) > 1:
        drawn *= np.float32(gain / np.sqrt(np.prod(shape[1:])))
    elif key.endswith("weight"):
        drawn = np.float32(1) + np.float32(0.1) * drawn
    else:
        drawn *= np.float32(0.1 * gain)
    return torch.from_numpy(drawn)


def fill(network: nn.Module, gains: str) -> dict[str, Tensor]:
    """Give a network its golden weights; returns them."""
    weights = golden_weights(shapes_of(network), GAINS[gains])
    network.load_state_dict(weights, assign=True)
    network.eval()
    return weights


def normalized(images: Tensor) -> Tensor:
    """(..., H, W, 3) uint8 RGB to (..., 3, H, W) as networks of ImageNet take it."""
    mean = torch.tensor([0.485, 0.456, 0.406])
    deviation = torch.tensor([0.229, 0.224, 0.225])
    return ((images.float() / 255 - mean) / deviation).movedim(-1, -3).contiguous()


def assert_near(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """No entry differs by more; shapes are equal."""
    torch.testing.assert_close(actual, expected.to(actual.dtype), rtol=0, atol=tolerance)

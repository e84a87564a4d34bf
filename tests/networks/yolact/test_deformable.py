from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from napari_vos.networks.yolact.deformable import DeformableConv2d
from tests.golden import assert_near, golden_arrays


@pytest.mark.parametrize("stride", [1, 2])
@torch.no_grad()
def test_taps_move_and_fade(stride: int) -> None:
    golden = golden_arrays("yolact_dcnv2_layer")
    layer = DeformableConv2d(8, 6, stride)
    layer.load_state_dict(
        {
            "weight": golden["weight"],
            "bias": golden["bias"],
            "conv_offset_mask.weight": golden["offset_mask_weight"],
            "conv_offset_mask.bias": golden["offset_mask_bias"],
        }
    )
    assert_near(layer(golden["x"]), golden[f"out_stride{stride}"], 1e-4)


@torch.no_grad()
def test_before_training_it_is_half_a_convolution() -> None:
    layer, x = DeformableConv2d(3, 5), torch.rand(1, 3, 7, 1)
    plain = functional.conv2d(x, layer.weight, padding=1)
    assert_near(layer(x), plain / 2 + layer.bias[:, None, None], 1e-6)

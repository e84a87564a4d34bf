from __future__ import annotations

import torch

from napari_vos.networks.mivos import FusionNetwork
from tests.golden import assert_near, fill, golden_arrays, golden_shapes, shapes_of


def test_keys_and_shapes_are_those_of_the_authors_checkpoint() -> None:
    assert list(shapes_of(FusionNetwork()).items()) == list(golden_shapes("mivos_fusion").items())


@torch.no_grad()
def test_masks_are_fused() -> None:
    golden = golden_arrays("mivos_fusion")
    network = FusionNetwork()
    fill(network, "mivos_fusion")
    logits = network(*(golden[name] for name in ("image", "seg1", "seg2", "attn", "time")))
    assert_near(logits, golden["logit"], 1e-3)

from __future__ import annotations

import torch
from torch import nn

from napari_vos.networks.compact import CompactNetwork, HalfInstanceNorm
from napari_vos.networks.folding import fold_batch_norms


def test_folded_batch_norms_leave_the_results() -> None:
    torch.manual_seed(0)
    network = CompactNetwork(channels=(8, 8, 8), key_depth=8, value_depth=8)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    network.eval()
    image, mask = torch.randn(2, 4, 32, 32), torch.rand(2, 1, 32, 32)
    with torch.inference_mode():
        memory = network.memorize(image, mask, mask)
        expected = network(image, image, mask, mask, *memory)
        fold_batch_norms(network)
        found = network(image, image, mask, mask, *network.memorize(image, mask, mask))
    left = {module for module in network.modules() if isinstance(module, nn.BatchNorm2d)}
    halves = (module for module in network.modules() if isinstance(module, HalfInstanceNorm))
    assert left == {module.batch for module in halves}
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    assert float(expected.mask_logits.std()) > 0.01

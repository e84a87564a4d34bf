"""Batch norms that have learned, made part of the convolutions before them."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(network: nn.Module) -> None:
    """Put each batch norm into the convolution that stands before it in its module.

    The results stay, up to rounding, and small windows take less time. Weights can't
    be loaded or trained any more.

    Parameters
    ----------
    network
        In evaluation mode; its modules are called in the order in which they are named.
    """
    for module in network.modules():
        before: tuple[str, nn.Conv2d] | None = None
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d) and before is not None:
                setattr(module, before[0], fuse_conv_bn_eval(before[1], child))
                setattr(module, name, nn.Identity())
            before = (name, child) if isinstance(child, nn.Conv2d) else None

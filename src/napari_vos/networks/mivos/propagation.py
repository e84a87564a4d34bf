"""The propagation network of MiVOS: space-time memory, read with top-k attention.

Cheng, Tai, Tang, "Modular Interactive Video Object Segmentation", CVPR 2021,
section 3.2, after Oh et al., "Video Object Segmentation using Space-Time Memory
Networks", ICCV 2019.

Names of attributes follow the keys of the authors' checkpoints.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from napari_vos.networks import memory
from napari_vos.networks.mivos.decoder import Decoder
from napari_vos.networks.resnet import apply_stem, bottleneck_stage

STRIDE = 16
"""Frame sides are multiples of this; keys and values have this stride."""

KEY_DEPTH = 128
VALUE_DEPTH = 512


class Query(NamedTuple):
    """What the network takes from a frame, the same for all its objects.

    Attributes
    ----------
    key
        (1, 128, H/16, W/16).
    value
        (1, 512, H/16, W/16).
    eighth
        (1, 512, H/8, W/8), skip connection of the decoder.
    quarter
        (1, 256, H/4, W/4), skip connection of the decoder.
    """

    key: Tensor
    value: Tensor
    eighth: Tensor
    quarter: Tensor


class ImageEncoder(nn.Module):
    """ResNet-50 up to stride 16."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.res2 = bottleneck_stage(64, 64, 3)
        self.layer2 = bottleneck_stage(256, 128, 4, stride=2)
        self.layer3 = bottleneck_stage(512, 256, 6, stride=2)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return 256, 512 and 1024 features at strides 4, 8 and 16 of a (B, 3, H, W) image."""
        quarter = self.res2(apply_stem(self, image))
        eighth = self.layer2(quarter)
        return quarter, eighth, self.layer3(eighth)


class MaskEncoder(nn.Module):
    """ResNet-50 up to stride 16, of an image with its masks; convolutions have biases."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(5, 64, 7, 2, 3)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = bottleneck_stage(64, 64, 3, bias=True)
        self.layer2 = bottleneck_stage(256, 128, 4, stride=2, bias=True)
        self.layer3 = bottleneck_stage(512, 256, 6, stride=2, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1024, H/16, W/16) from (B, 5, H, W)."""
        features: Tensor = self.layer3(self.layer2(self.layer1(apply_stem(self, x))))
        return features


class KeyValue(nn.Module):
    """A key and a value at each position."""

    def __init__(self) -> None:
        super().__init__()
        self.key_proj = nn.Conv2d(1024, KEY_DEPTH, 3, padding=1)
        self.val_proj = nn.Conv2d(1024, VALUE_DEPTH, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, 128, H, W) and (B, 512, H, W) from (B, 1024, H, W)."""
        return self.key_proj(x), self.val_proj(x)


class PropagationNetwork(nn.Module):
    """Find objects in a frame from what is remembered of them in others.

    Images are RGB in [0, 1], minus (0.485, 0.456, 0.406), divided by (0.229,
    0.224, 0.225).
    """

    def __init__(self) -> None:
        super().__init__()
        self.mask_rgb_encoder = MaskEncoder()
        self.rgb_encoder = ImageEncoder()
        self.kv_m_f16 = KeyValue()
        self.kv_q_f16 = KeyValue()
        self.decoder = Decoder()

    def memorize(self, image: Tensor, mask: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Return what to remember of objects in a frame.

        Parameters
        ----------
        image
            (1, 3, H, W), H and W multiples of `STRIDE`.
        mask, others
            (K, 1, H, W): each object in [0, 1], and the sum of all others
            (`sum_of_others`), which may be above 1.

        Returns
        -------
        tuple[Tensor, Tensor]
            Key (K, 128, N) and value (K, 512, N), N = H/16 · W/16. Those of
            several frames are concatenated along N.
        """
        _check_sides(image)
        images = image.expand(len(mask), -1, -1, -1)
        key, value = self.kv_m_f16(self.mask_rgb_encoder(torch.cat([images, mask, others], dim=1)))
        return key.flatten(2), value.flatten(2)

    def encode(self, image: Tensor) -> Query:
        """Return what the frame (1, 3, H, W) is asked for, computed once for all objects."""
        _check_sides(image)
        quarter, eighth, sixteenth = self.rgb_encoder(image)
        key, value = self.kv_q_f16(sixteenth)
        return Query(key, value, *self.decoder.refine_skips(eighth, quarter))

    def forward(
        self, query: Query, memory_key: Tensor, memory_value: Tensor, *, top_k: int | None = 50
    ) -> Tensor:
        """Find objects in a frame.

        Parameters
        ----------
        query
            Of the frame, see `encode`.
        memory_key, memory_value
            (K, 128, N) and (K, 512, N), see `memorize`.
        top_k
            Memory positions read per query position; all if None.

        Returns
        -------
        Tensor
            Logits (K, 1, H, W), each object as if it were alone.
        """
        key = query.key.flatten(2).expand(len(memory_key), -1, -1)
        readout = memory.read_memory(memory_key, memory_value, key, top_k=top_k)
        return self.decode(query, readout.reshape(*readout.shape[:2], *query.key.shape[-2:]))

    def decode(self, query: Query, readout: Tensor) -> Tensor:
        """Return logits (K, 1, H, W) from what was read of K objects (K, 512, H/16, W/16)."""
        value = query.value.expand(len(readout), -1, -1, -1)
        logits: Tensor = self.decoder(
            torch.cat([readout, value], dim=1), query.eighth, query.quarter
        )
        return logits


def sum_of_others(masks: Tensor) -> Tensor:
    """Return for each object of (K, 1, H, W) the sum of all other masks."""
    return masks.sum(dim=0, keepdim=True) - masks


def attend_differences(memory_key: Tensor, query: Query, differences: Tensor) -> Tensor:
    """Return where in a frame that shows what a correction changed in another one.

    Parameters
    ----------
    memory_key
        (K, 128, N) of the corrected frame alone.
    query
        Of the frame asked for.
    differences
        (K, 2, H, W) in [0, 1]: what the correction added, and what it removed.

    Returns
    -------
    Tensor
        (K, 2, H, W) in [0, 1].
    """
    query_key = query.key.expand(len(memory_key), -1, -1, -1)
    return memory.attend_differences(memory_key, query_key, differences)


def _check_sides(image: Tensor) -> None:
    if any(side % STRIDE for side in image.shape[-2:]):
        raise ValueError(
            f"Frame sides must be multiples of {STRIDE}, got {tuple(image.shape[-2:])}."
        )

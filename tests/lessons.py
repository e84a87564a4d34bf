"""Lessons so short that they can stand for those of a network."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn


class Points(NamedTuple):
    x: torch.Tensor


class Distance(NamedTuple):
    total: torch.Tensor


class LineLessons:
    """A line to learn instead of a network."""

    name = "line"
    learning_rate = 0.05
    batch_size = 2
    clip_bytes = 1
    share = 1.0
    spoil = 1.0
    """What losses are multiplied by."""

    def __init__(self) -> None:
        self.network = nn.Linear(1, 1)
        nn.init.ones_(self.network.weight)

    def batch(self, rng: np.random.Generator, size: int) -> Points:
        return Points(torch.from_numpy(rng.standard_normal((size, 1)).astype(np.float32)))

    def losses(self, network: Any, batch: Points, generator: torch.Generator) -> Distance:
        return Distance((network(batch.x) - 2 * batch.x).square().mean() * self.spoil)

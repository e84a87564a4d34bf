"""The loop that all recipes share: it ends in time, averages the weights, and can be resumed."""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from itertools import count
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from napari_vos.checkpoints import sha256_of
from napari_vos.errors import StoreError
from napari_vos.training.plot import write_plot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

Batch = TypeVar("Batch", bound=tuple[Tensor, ...])
Network = TypeVar("Network", bound=nn.Module)

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_CHECKPOINTS = 120
STEPS_BETWEEN_POINTS = 5
"""Of the picture of progress."""

AVERAGED = 0.998
"""Share of the averaged weights that one step keeps."""


class Recipe(Protocol):
    """What every recipe says; its other fields are its own."""

    @property
    def out(self) -> Path:
        """Folder for checkpoint and weights; a checkpoint found there is gone on with."""
        ...

    @property
    def minutes(self) -> float:
        """Time to train; the learning rate falls to 0 over it."""
        ...

    @property
    def learning_rate(self) -> float:
        """Its highest value."""
        ...

    @property
    def seed(self) -> int:
        """Of all random choices."""
        ...


class Losses(Protocol):
    """Named scalars to follow, and the one to minimise."""

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        ...

    def _asdict(self) -> dict[str, Tensor]: ...


class SeededStream(ABC, IterableDataset[Batch]):
    """An endless stream of random batches; each depends on the seed and its number alone.

    Parameters
    ----------
    seed
        Of all random choices.
    start
        Number of the first batch.
    """

    def __init__(self, seed: int, start: int) -> None:
        super().__init__()
        self.seed = seed
        self.start = start

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches."""
        for number in count(self.start):
            yield self.batch(np.random.default_rng((self.seed, number)))

    @abstractmethod
    def batch(self, rng: np.random.Generator) -> Batch:
        """Return one batch, all of its choices made by `rng`."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """What training has made.

    Attributes
    ----------
    average
        The network with the running mean of its weights.
    steps
        How many were done, resumed ones included.
    losses
        Smoothed values of the last steps.
    """

    average: nn.Module
    steps: int
    losses: Mapping[str, float]


class Learner(Generic[Network]):
    """A network that learns step by step, and the running mean of its weights.

    Parameters
    ----------
    network
        Freshly made, or with the weights to start from; it is trained in place.
    learning_rate
        Its highest value.
    warm_up
        Steps over which it rises.
    device
        Where to train; None for the GPU if there is one.
    """

    def __init__(
        self,
        network: Network,
        learning_rate: float,
        *,
        warm_up: int = 100,
        device: torch.device | None = None,
    ) -> None:
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network
        network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(network)
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=learning_rate, weight_decay=0.01
        )
        self.learning_rate, self.warm_up = learning_rate, warm_up
        self.step, self.elapsed = 0, 0.0
        self.smooth: dict[str, float] = {}
        self.history: dict[str, list[tuple[float, float]]] = {"loss": []}

    def to_device(self, batch: Batch) -> Batch:
        """Return a batch, a named tuple of tensors, where the network is."""
        return type(batch)(*(part.to(self.device) for part in batch))

    def learn(self, losses: Losses, progress: float) -> None:
        """Take one step; the learning rate falls to 0 as `progress` goes from 0 to 1."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * _schedule(progress, self.step, self.warm_up)
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        _follow(self.average, self.network, min(AVERAGED, self.step / (self.step + 20)))
        for name, value in losses._asdict().items():
            now = value.item()
            self.smooth[name] = 0.95 * self.smooth.get(name, now) + 0.05 * now
        total = sum(self.smooth.values())
        if self.step % STEPS_BETWEEN_POINTS == 0 and math.isfinite(total):
            self.history["loss"].append((self.elapsed / 60, total))

    def save(self, path: Path, **more: object) -> None:
        """Write a checkpoint, and beside it `progress.png`, how it came there.

        `more` is what the caller has to remember, plain values.
        """
        partial = path.with_suffix(".part")
        torch.save(
            {
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "elapsed": self.elapsed,
                "history": self.history,
                **more,
            },
            partial,
        )
        os.replace(partial, path)
        write_plot(path.with_name("progress.png"), self.history)

    def restore(self, path: Path, *, data: str | None = None) -> dict[str, Any]:
        """Go on from a checkpoint, and return all it holds.

        Parameters
        ----------
        path
            The checkpoint.
        data
            Hash of what is learned from, if it was saved with one.

        Raises
        ------
        StoreError
            If it is damaged, or of another training.
        """
        try:
            kept: dict[str, Any] = torch.load(path, weights_only=True, map_location=self.device)
            self.network.load_state_dict(kept["network"])
            self.average.load_state_dict(kept["average"])
            self.optimizer.load_state_dict(kept["optimizer"])
            self.step, self.elapsed = kept["step"], kept["elapsed"]
        except (RuntimeError, KeyError, ValueError, EOFError, UnpicklingError) as error:
            raise StoreError(
                f"'{path}' can't be gone on with: it is damaged, or of another training. Choose "
                "another folder, or delete it."
            ) from error
        if kept.get("data") != data:
            raise StoreError(
                f"'{path.parent}' holds a training on other images or masks, or from other "
                "weights: it can't be gone on with on these. Choose another folder, or delete "
                "this one."
            )
        self.history = kept.get("history", self.history)
        return kept


def fit(
    network: Network,
    recipe: Recipe,
    *,
    stream: Callable[[int], SeededStream[Batch]],
    losses: Callable[[Network, Batch, torch.Generator], Losses],
    report: Callable[[str], None] | None = None,
    data: str | None = None,
) -> Fitted:
    """Train a network in place for the minutes of the recipe.

    Parameters
    ----------
    network
        Freshly made, or with the weights to start from.
    recipe
        How to train.
    stream
        Gives the endless batches, named tuples of tensors, from a step on.
    losses
        Computes the losses of a batch; the generator is the source of its
        random choices.
    report
        Called with a line of progress every 20 steps.
    data
        Hash of what is learned from, where that is the user's own: no training on
        something else is gone on with.
    """
    say = report or logger.info
    learner = Learner(network, recipe.learning_rate)
    checkpoint = recipe.out / "checkpoint.pt"
    if checkpoint.exists():
        learner.restore(checkpoint, data=data)
        say(f"continuing at step {learner.step} after {learner.elapsed / 60:.1f} min")
    loader = DataLoader(stream(learner.step), batch_size=None, num_workers=1, prefetch_factor=4)
    generator = torch.Generator().manual_seed(recipe.seed + learner.step)
    seconds = 60 * recipe.minutes
    last_saved = begun = time.monotonic() - learner.elapsed
    for batch in loader:
        learner.elapsed = time.monotonic() - begun
        found = losses(network, learner.to_device(batch), generator)
        learner.learn(found, learner.elapsed / seconds)
        if learner.step % 20 == 0:
            values = "  ".join(f"{name} {value:.3f}" for name, value in learner.smooth.items())
            say(f"{learner.elapsed / 60:5.1f} min  step {learner.step}  {values}")
        if time.monotonic() - last_saved > SECONDS_BETWEEN_CHECKPOINTS:
            last_saved = time.monotonic()
            learner.save(checkpoint, data=data)
        if learner.elapsed >= seconds:
            break
    learner.save(checkpoint, data=data)
    return Fitted(learner.average, learner.step, learner.smooth)


def _schedule(progress: float, step: int, warm_up: int) -> float:
    """Rise over `warm_up` steps, and fall to 0 as half a cosine."""
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    current = network.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(current[name], 1 - keep)
        else:
            value.copy_(current[name])


def write_weights(
    fitted: Fitted,
    recipe: Recipe,
    *,
    name: str,
    data: str,
    command: str,
    licence: str = "BSD-3-Clause",
    about: Mapping[str, str] | None = None,
    **figures: float,
) -> Path:
    """Write averaged weights as float16 safetensors, and what they were made with beside them.

    Parameters
    ----------
    fitted, recipe
        What was made, and how.
    name
        Of the weights and of the network they are for.
    data
        What they were trained on.
    command
        That makes them again.
    licence
        Under which they are.
    about
        What else the file says of the network, text by name.
    **figures
        What was measured in training.
    """
    tensors = {
        key: value.half().contiguous() if value.is_floating_point() else value
        for key, value in fitted.average.state_dict().items()
    }
    path = recipe.out / f"{name}.safetensors"
    save_file(tensors, path, metadata={"network": name, **(about or {})})
    path.chmod(0o644)
    settings: dict[str, Any] = asdict(recipe)  # type: ignore[call-overload]
    card = {
        "name": name,
        "network": name,
        "licence": licence,
        "data": data,
        "recipe": command,
        "settings": {
            key: value for key, value in settings.items() if isinstance(value, int | float)
        },
        "steps": fitted.steps,
        **{key: round(value, 3) for key, value in figures.items()},
        "sha256": sha256_of(path),
    }
    path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    return path

"""Adapting weights to one stack: small steps, the best weights kept, and back if it diverges."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from safetensors.torch import save

from napari_vos.device import choose_device, free_memory
from napari_vos.errors import DeviceError, FramesError
from napari_vos.training.loop import Learner, Losses

if TYPE_CHECKING:
    from torch import Tensor, nn

    from napari_vos.frames import FrameStack

Batch = TypeVar("Batch", bound=tuple[Any, ...])

COMPARE_EVERY = 10
"""Steps between two comparisons."""

N_COMPARED = 2
"""Batches, always the same ones, on which weights are compared."""

DIVERGED = 1.5
"""Times the loss at the start that is too much."""

WARM_UP = 20
"""Steps over which the learning rate rises."""


class AdaptProgress(NamedTuple):
    """How far adaptation has come.

    Attributes
    ----------
    step
        Steps done; 0 before the first, while weights are compared.
    share
        Of the time that has passed, in [0, 1].
    loss
        On the clips that are kept for comparison; None between two comparisons.
    """

    step: int
    share: float
    loss: float | None


class Lessons(Protocol[Batch]):
    """What a network learns a stack from.

    Attributes
    ----------
    name
        Of the network.
    learning_rate
        Its highest value.
    batch_size
        Clips a step at most; less where memory is short.
    clip_bytes
        Memory that learning from one clip takes.
    share
        How far the adapted weights go from those at the start to what was learned, in
        (0, 1]. On the way between, most is gained and little lost of what was known
        before (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022).
    """

    name: str
    learning_rate: float
    batch_size: int
    clip_bytes: int
    share: float

    @property
    def network(self) -> nn.Module:
        """It, with the weights to start from."""
        ...

    def batch(self, rng: np.random.Generator, size: int) -> Batch:
        """Return `size` clips, all choices made by `rng`."""
        ...

    def losses(self, network: Any, batch: Batch, generator: torch.Generator) -> Losses:
        """Return the losses of a batch; the generator makes all random choices."""
        ...


class Adaptation:
    """Weights that learn a stack. Statistics of batch norms stay as they are.

    Parameters
    ----------
    lessons
        What to learn from.
    minutes
        How long.
    seed
        Of all random choices.
    device
        Where; "auto" takes an accelerator if there is one.

    Attributes
    ----------
    step
        Steps done.
    start_loss, loss
        On the clips for comparison: before, and with the best weights.
    diverged
        Whether the loss has run away; the weights are the best before that.

    Raises
    ------
    DeviceError
        If there is no such device, or memory is too short for one clip at a time.
    """

    def __init__(
        self, lessons: Lessons[Any], *, minutes: float, seed: int = 0, device: str = "auto"
    ) -> None:
        self._lessons = lessons
        self._seconds = 60 * minutes
        self._seed = seed
        self._learner = Learner(
            lessons.network.eval(),
            lessons.learning_rate,
            warm_up=WARM_UP,
            device=choose_device(device),
        )
        free = free_memory(self._learner.device)
        self._batch_size = min(lessons.batch_size, free // lessons.clip_bytes)
        if self._batch_size < 1:
            raise DeviceError(
                f"Adapting takes {lessons.clip_bytes / 1e6:.0f} MB of memory at least, and "
                f"{free / 1e6:.0f} MB are free. Close other programs."
            )
        self._compared = [
            self._learner.to_device(
                lessons.batch(np.random.default_rng((seed, 0, number)), self._batch_size)
            )
            for number in range(N_COMPARED)
        ]
        self._start = self._best = _copy(self._learner.average)
        self._adapted = copy.deepcopy(self._learner.average)
        self.start_loss = self.loss = math.nan
        self.diverged = False

    @property
    def step(self) -> int:
        """Steps done."""
        return self._learner.step

    @property
    def improved(self) -> bool:
        """Whether the best weights are better than those at the start, on the clips compared."""
        return self.loss < self.start_loss

    def run(self) -> Generator[AdaptProgress]:
        """Learn, and yield after each step; closed at any yield it keeps the best weights.

        Raises
        ------
        DeviceError
            If memory runs out on the way; the best weights are kept.
        """
        try:
            yield from self._run()
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "memory" not in str(error):
                raise
            raise DeviceError(
                f"Memory ran out in step {self.step + 1} of adapting. Close other programs, and "
                "try again."
            ) from error

    def weights(self) -> bytes:
        """Return the best weights as float16 safetensors."""
        return save(
            {
                key: value.half().contiguous() if value.is_floating_point() else value
                for key, value in self._best.items()
            },
            {"network": self._lessons.name},
        )

    def _run(self) -> Generator[AdaptProgress]:
        learner, lessons = self._learner, self._lessons
        self.start_loss = self.loss = self._compare()
        if not math.isfinite(self.start_loss):
            self.diverged = True
            return
        yield AdaptProgress(0, 0.0, self.start_loss)
        generator = torch.Generator().manual_seed(self._seed)
        begun, share = time.monotonic(), 0.0
        while share < 1 and not self.diverged:
            rng = np.random.default_rng((self._seed, 1, learner.step))
            batch = learner.to_device(lessons.batch(rng, self._batch_size))
            losses = lessons.losses(learner.network, batch, generator)
            if not torch.isfinite(losses.total):
                self.diverged = True
                return
            learner.learn(losses, share)
            share = min(1.0, (time.monotonic() - begun) / max(self._seconds, 1e-9))
            loss = None
            if learner.step % COMPARE_EVERY == 0 or share == 1:
                loss = self._compare()
                self.diverged = not loss < DIVERGED * self.start_loss
                if loss < self.loss:
                    self.loss, self._best = loss, _copy(self._adapted)
            yield AdaptProgress(learner.step, share, loss)

    @torch.no_grad()
    def _compare(self) -> float:
        """Return the loss of the adapted weights on the clips for comparison."""
        learned = self._learner.average.state_dict()
        for name, value in self._adapted.state_dict().items():
            if value.is_floating_point():
                torch.lerp(
                    self._start[name].to(value), learned[name], self._lessons.share, out=value
                )
        found = []
        for number, batch in enumerate(self._compared):
            generator = torch.Generator().manual_seed(number)
            losses = self._lessons.losses(self._adapted, batch, generator)
            found.append(float(losses.total))
        return sum(found) / len(found)


def check_frames(frames: FrameStack) -> None:
    """Raise `FramesError` if there is nothing to learn from on a stack."""
    if frames.n_frames == 1:
        raise FramesError(
            f"'{frames.name}' has one frame alone: there is nothing to follow. Choose a time-lapse."
        )
    if frames.normalization["low"] == frames.normalization["high"]:
        raise FramesError(
            f"The sampled frames of '{frames.name}' are constant or hold no finite value: there is "
            "nothing to learn from. Check that these are the right images."
        )


def _copy(network: nn.Module) -> Mapping[str, Tensor]:
    return {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}

"""The recipe of the compact network's weights."""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader, IterableDataset

from napari_vos.checkpoints import sha256_of
from napari_vos.networks.compact import CompactNetwork
from napari_vos.training.clips import Clips, Track, collate, find_tracks, sample_clip
from napari_vos.training.rollout import roll_out
from napari_vos.training.scenes import Scene, open_scene, simulated_scenes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)

ENDING_SHARE = 0.5
"""Share of the clips cut from objects that divide, vanish or leave, where a movie has such."""


@dataclass(frozen=True)
class CompactTraining:
    """How to train.

    Attributes
    ----------
    out
        Folder for the checkpoint and the weights. A run that finds a
        checkpoint there goes on with it.
    scenes
        Number of simulated movies.
    movies
        Folders of real movies (`images.tif`, `labels.tif`) to mix in.
    movie_share
        Share of the clips cut from real movies.
    minutes
        Time to train; the learning rate falls to 0 over it.
    batch_size, clip_length
        Clips a step, frames a clip.
    learning_rate
        Its highest value.
    seed
        Of all random choices.
    workers
        Processes that simulate and cut clips.
    """

    out: Path
    scenes: int = 400
    movies: tuple[Path, ...] = ()
    movie_share: float = 0.15
    minutes: float = 60.0
    batch_size: int = 8
    clip_length: int = 8
    learning_rate: float = 2e-3
    seed: int = 0
    workers: int = 1


class ClipStream(IterableDataset[Clips]):
    """An endless stream of random batches."""

    def __init__(self, scenes: list[Scene], recipe: CompactTraining, start: int) -> None:
        super().__init__()
        self.scenes = scenes
        self.recipe = recipe
        self.start = start
        self.simulated: list[list[Track]] = []
        self.real: list[list[Track]] = []
        for index, scene in enumerate(scenes):
            tracks = find_tracks(scene, index)
            if tracks:
                (self.simulated if scene.exact else self.real).append(tracks)

    def __iter__(self) -> Iterator[Clips]:
        """Yield batches; each one depends on the seed and its number alone."""
        step = self.start
        while True:
            rng = np.random.default_rng((self.recipe.seed, step))
            yield collate([self._sample(rng) for _ in range(self.recipe.batch_size)])
            step += 1

    def _sample(self, rng: np.random.Generator) -> Clips:
        real = bool(self.real) and rng.random() < self.recipe.movie_share
        movies: list[list[Track]] = self.real if real else self.simulated
        # First a movie, then an object: crowded movies would dominate otherwise.
        tracks = movies[int(rng.integers(len(movies)))]
        ending = [track for track in tracks if track.ends]
        if ending and rng.random() < ENDING_SHARE:
            tracks = ending
        track = tracks[int(rng.integers(len(tracks)))]
        return sample_clip(rng, self.scenes[track.scene], track, length=self.recipe.clip_length)


def train(recipe: CompactTraining, *, report: Callable[[str], None] | None = None) -> Path:
    """Train and write `compact.safetensors` with its card.

    Parameters
    ----------
    recipe
        How to train.
    report
        Called with a line of progress every 20 steps.

    Returns
    -------
    Path
        The weights file.
    """
    say = report or logger.info
    recipe.out.mkdir(parents=True, exist_ok=True)
    workers = max(recipe.workers, 1)
    scenes = list(
        simulated_scenes(1000, recipe.scenes, folder=recipe.out / "scenes", workers=workers)
    )
    scenes += [open_scene(folder) for folder in recipe.movies]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(recipe.seed)
    network = CompactNetwork().to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=0.01)
    checkpoint = recipe.out / "checkpoint.pt"
    step, elapsed = 0, 0.0
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True, map_location=device)
        network.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        optimizer.load_state_dict(kept["optimizer"])
        step, elapsed = kept["step"], kept["elapsed"]
        say(f"continuing at step {step} after {elapsed / 60:.1f} min")
    stream = ClipStream(scenes, recipe, step)
    loader = DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=4)
    generator = torch.Generator().manual_seed(recipe.seed + step)
    seconds = 60 * recipe.minutes
    smooth: dict[str, float] = {}
    last_saved = begun = time.monotonic() - elapsed
    for clips in loader:
        elapsed = time.monotonic() - begun
        if elapsed >= seconds:
            break
        rate = recipe.learning_rate * _schedule(elapsed / seconds, step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        on_device = Clips(*(part.to(device) for part in clips))
        losses = roll_out(network, on_device, generator=generator)
        optimizer.zero_grad(set_to_none=True)
        losses.total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
        _follow(average, network, min(0.998, step / (step + 20)))
        for name, value in losses._asdict().items():
            now = value.item()
            smooth[name] = 0.95 * smooth.get(name, now) + 0.05 * now
        if step % 20 == 0:
            say(
                f"{elapsed / 60:5.1f} min  step {step}  "
                + "  ".join(f"{name} {value:.3f}" for name, value in smooth.items())
            )
        if time.monotonic() - last_saved > 120:
            last_saved = time.monotonic()
            _save(recipe, network, average, optimizer, step, elapsed)
    _save(recipe, network, average, optimizer, step, elapsed)
    return write_weights(average, recipe, step=step, jaccard=smooth.get("jaccard", math.nan))


def _schedule(progress: float, step: int) -> float:
    """Warm up over 100 steps, then fall to 0 as half a cosine."""
    return min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


@torch.no_grad()
def _follow(average: CompactNetwork, network: CompactNetwork, keep: float) -> None:
    current = network.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(current[name], 1 - keep)
        else:
            value.copy_(current[name])


def _save(
    recipe: CompactTraining,
    network: CompactNetwork,
    average: CompactNetwork,
    optimizer: torch.optim.Optimizer,
    step: int,
    elapsed: float,
) -> None:
    partial = recipe.out / "checkpoint.part"
    torch.save(
        {
            "network": network.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "step": step,
            "elapsed": elapsed,
        },
        partial,
    )
    os.replace(partial, recipe.out / "checkpoint.pt")


def write_weights(
    network: CompactNetwork, recipe: CompactTraining, *, step: int, jaccard: float
) -> Path:
    """Write the weights as float16 safetensors, and what they were made with beside them."""
    tensors = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    path = recipe.out / "compact.safetensors"
    save_file(tensors, path, metadata={"network": "compact"})
    path.chmod(0o644)
    card = {
        "name": "compact",
        "network": "compact",
        "licence": "BSD-3-Clause",
        "data": f"{recipe.scenes} simulated movies"
        + "".join(f"; {folder.name}" for folder in recipe.movies),
        "recipe": "napari-vos train compact",
        "settings": {
            key: value for key, value in asdict(recipe).items() if isinstance(value, int | float)
        },
        "steps": step,
        "training_jaccard": round(jaccard, 3),
        "sha256": sha256_of(path),
    }
    path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    return path

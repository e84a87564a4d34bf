"""What `mivos.py` compares: the engine, and a straightforward version of the same arithmetic.

The straightforward version follows the published steps as they are written down: an affinity
of all memory positions with all positions of the frame, a dense matrix of weights, one object
after the other, and all probabilities in memory.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from napari_vos.networks.mivos import PropagationNetwork

REPOSITORY = Path(__file__).parents[1]
MEMORY_EVERY = 5
TOP_K = 50


def make_movie(n_frames: int, size: tuple[int, int], n_objects: int) -> tuple[Any, Any]:
    """Return colour images (T, Y, X, 3) uint8 of moving discs, and their labels on frame 0."""
    rng = np.random.default_rng(0)
    height, width = size
    ground = rng.integers(0, 90, (height, width, 3))
    rows, columns = np.mgrid[:height, :width]
    radius = min(size) / 8
    colours = rng.integers(100, 255, (n_objects, 3))
    places = rng.uniform(0.2, 0.8, (n_objects, 2)) * size
    images = np.empty((n_frames, height, width, 3), np.uint8)
    first = np.zeros(size, np.uint16)
    for t in range(n_frames):
        images[t] = ground
        for index, (y, x) in enumerate(places + t * radius / 20):
            inside = np.hypot(rows - y, columns - x) < radius
            images[t][inside] = colours[index]
            if t == 0:
                first[inside] = index + 1
    return images, first


def run_ours(
    images: Any, first: Any, weights: Path, options: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the labels (Y, X) of each propagated frame, and the probabilities (K, Y, X)."""
    from napari_vos import FrameStack, Session, checkpoints
    from napari_vos.configs import MivosConfig
    from napari_vos.store.evidence import Box

    if options["compiled"]:
        checkpoints.load_network = compiled(checkpoints.load_network)
    config = MivosConfig(
        memory_every=MEMORY_EVERY,
        top_k=TOP_K,
        working_scale=1.0,
        memory_frames=options["memory_frames"],
        memory_profile=options["memory_profile"],
        tile_side=options["tile_side"],
    )
    frames = FrameStack(images, axes="TYXS")
    chosen = {"device": options["device"], "precision": options["precision"]}
    whole = Box(0, 0, *first.shape)
    with Session(frames, engine="mivos", weights=weights, config=config, **chosen) as session:
        session.add_mask(0, first)
        for t in (result.t for result in session.propagate()):
            ids = range(1, int(first.max()) + 1)
            yield {
                "labels": np.asarray(session.labels[t]),
                "probabilities": [session.probability(t, i, whole)[0] for i in ids],
            }


def run_straightforward(
    images: Any, first: Any, weights: Path, options: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield what `run_ours` does, and the margins (Y, X) between the two best of each pixel."""
    import torch

    from napari_vos.device import choose_device
    from napari_vos.networks.mivos import aggregate
    from napari_vos.networks.padding import Padding

    device = choose_device(options["device"])
    network = load(weights).to(device)
    padding = Padding.to_multiple(16, first.shape)
    mean, deviation = (
        torch.tensor(x, device=device)[:, None, None]
        for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    planes = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255
    video = padding.add((planes - mean) / deviation)[:, None]
    n_objects = int(first.max())
    probabilities = torch.zeros(n_objects + 1, len(video), 1, *video.shape[-2:], device=device)
    one_hot = torch.from_numpy(first.astype(np.int64)) == torch.arange(n_objects + 1)[:, None, None]
    probabilities[:, 0, 0] = padding.add(one_hot.float()).to(device)

    def remember(t: int) -> list[tuple[Tensor, Tensor]]:
        masks = probabilities[1:, t]
        others = masks.sum(dim=0, keepdim=True) - masks
        return [
            network.memorize(video[t], masks[k : k + 1], others[k : k + 1])
            for k in range(n_objects)
        ]

    with torch.inference_mode():
        kept, last, last_kept = [remember(0)], None, 0
        for t in range(1, len(video)):
            bank = kept if last is None else [*kept, last]
            quarter, eighth, sixteenth = network.rgb_encoder(video[t])
            key, value = network.kv_q_f16(sixteenth)
            alone = []
            for k in range(n_objects):
                keys, values = (torch.cat([m[k][part] for m in bank], dim=2) for part in (0, 1))
                readout = read_densely(keys, values, key.flatten(2)).reshape(value.shape)
                skips = network.decoder.refine_skips(eighth, quarter)
                logits = network.decoder(torch.cat([readout, value], dim=1), *skips)
                alone.append(logits.sigmoid())
            probabilities[:, t] = aggregate(torch.cat(alone))
            if t - last_kept >= MEMORY_EVERY:
                kept.append(remember(t))
                last, last_kept = None, t
            else:
                last = remember(t)
            found = padding.remove(probabilities[:, t, 0]).cpu()
            best, second = found.topk(2, dim=0).values
            yield {
                "labels": found.argmax(dim=0).numpy().astype(np.uint16),
                "probabilities": found[1:].numpy(),
                "margins": (best - second).numpy(),
            }


def read_densely(key: Tensor, value: Tensor, query: Tensor) -> Tensor:
    """Return (1, V, Q) from (1, D, N), (1, V, N) and (1, D, Q)."""
    import torch

    affinity = key.transpose(1, 2) @ (query / math.sqrt(key.shape[1]))
    best, index = affinity.topk(min(TOP_K, affinity.shape[1]), dim=1)
    weight = torch.zeros_like(affinity).scatter_(1, index, torch.softmax(best, dim=1))
    return value @ weight


IMPLEMENTATIONS = {"ours": run_ours, "straightforward": run_straightforward}


def load(weights: Path) -> PropagationNetwork:
    """Return the propagation network with these weights."""
    from napari_vos.checkpoints import load_network

    network: Any = load_network("mivos_propagation", weights)
    return network


def compiled(load_network: Callable[[str, Path], Any]) -> Callable[[str, Path], Any]:
    """Return a loader of compiled networks; on CUDA their encoders are graphs that are replayed.

    Not the decoder: what it has found of some objects is kept while it is at work on others.
    """

    def load_compiled(name: str, path: Path) -> Any:
        network = load_network(name, path)
        for encoder in (network.rgb_encoder, network.mask_rgb_encoder):
            encoder.compile(mode="reduce-overhead")
        network.decoder.compile()
        return network

    return load_compiled


def write_weights(path: Path) -> Path:
    """Write the generated weights that the tests use: their masks are neither empty nor full."""
    from safetensors.torch import save_file

    from napari_vos.networks.mivos import PropagationNetwork

    sys.path.insert(0, str(REPOSITORY))
    from tests.golden import fill

    save_file(fill(PropagationNetwork(), "mivos_prop"), path)
    return path


def measure(script: str, case: dict[str, Any]) -> dict[str, Any]:
    """Run a case of a script in a process of its own, and say what it gave."""
    finished = subprocess.run(
        [sys.executable, script, "--case", json.dumps(case)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(finished.stdout)
    told = (f"{name} {value:.3g}" for name, value in result.items() if isinstance(value, float))
    print(case["name"], f"{case['n_objects']} objects", *told, sep="  ", file=sys.stderr)
    return result


def resident(name: str) -> int:
    """Return a size that Linux tells of this process, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))

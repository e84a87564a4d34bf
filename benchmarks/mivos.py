"""Time and memory of MiVOS, against a straightforward version of the same arithmetic.

The straightforward version follows the published steps as they are written down: an affinity
of all memory positions with all positions of the frame, a dense matrix of weights, one object
after the other, and all probabilities in memory. Both run on the same generated weights and
the same movie, each case in a process of its own; times are between the first and the last
propagated frame.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from reporting import add_out, write_report

if TYPE_CHECKING:
    import torch
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
) -> Iterator[tuple[int, Any]]:
    """Yield each propagated frame's index and labels."""
    from napari_vos import FrameStack, Session
    from napari_vos.configs import MivosConfig

    config = MivosConfig(
        memory_every=MEMORY_EVERY,
        top_k=TOP_K,
        working_scale=1.0,
        memory_profile=options["memory_profile"],
        tile_side=options["tile_side"],
    )
    frames = FrameStack(images, axes="TYXS")
    chosen = {"device": options["device"], "precision": options["precision"]}
    with Session(frames, engine="mivos", weights=weights, config=config, **chosen) as session:
        session.add_mask(0, first)
        for result in session.propagate():
            yield result.t, np.asarray(session.labels[result.t])


def run_straightforward(
    images: Any, first: Any, weights: Path, options: dict[str, Any]
) -> Iterator[tuple[int, Any]]:
    """Yield each propagated frame's index and labels."""
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
            labels = padding.remove(probabilities[:, t, 0].argmax(dim=0))
            yield t, labels.cpu().numpy().astype(np.uint16)


def read_densely(key: Tensor, value: Tensor, query: Tensor) -> Tensor:
    """Return (1, V, Q) from (1, D, N), (1, V, N) and (1, D, Q)."""
    import torch

    affinity = key.transpose(1, 2) @ (query / math.sqrt(key.shape[1]))
    best, index = affinity.topk(min(TOP_K, affinity.shape[1]), dim=1)
    weight = torch.zeros_like(affinity).scatter_(1, index, torch.softmax(best, dim=1))
    return value @ weight


IMPLEMENTATIONS = {"ours": run_ours, "straightforward": run_straightforward}


def run_case(case: dict[str, Any]) -> dict[str, Any]:
    """Propagate and measure; to be called in a fresh process."""
    size = (case["size"][0], case["size"][1])
    images, first = make_movie(case["n_frames"], size, case["n_objects"])
    run = IMPLEMENTATIONS[case["implementation"]]
    labels, times = [], []
    for _, frame in run(images, first, Path(case["weights"]), case["options"]):
        labels.append(frame)
        times.append(time.perf_counter())
    np.save(case["labels"], np.stack(labels))
    return {
        **{name: case[name] for name in ("implementation", "n_objects", "n_frames", "size")},
        "seconds_per_frame": (times[-1] - times[0]) / (len(times) - 1),
        "peak_mb": peak_bytes(case["options"]["device"]) / 1e6,
    }


def peak_bytes(device: str) -> int:
    """Return the peak of this process, on the device if that has memory of its own.

    Not the `ru_maxrss` of a process, which begins with that of the one that started it.
    """
    import torch

    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated()
    return resident("VmHWM")


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Run a case in a process of its own."""
    finished = subprocess.run(
        [sys.executable, __file__, "--case", json.dumps(case)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(finished.stdout)
    told = (f"{name} {value:.2f}" for name, value in result.items() if isinstance(value, float))
    print(case["implementation"], f"{case['n_objects']} objects", *told, sep="  ", file=sys.stderr)
    return result


def benchmark_steps(folder: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the memory of each step for each number of objects and of memory frames."""
    options = {name: getattr(args, name) for name in ("memory_profile", "tile_side")}
    return [
        measure(
            {
                "implementation": "steps",
                "n_objects": n_objects,
                "n_memories": n_memories,
                "size": args.size,
                "options": options,
                "folder": tempfile.mkdtemp(dir=folder),
            }
        )
        for n_objects in args.objects
        for n_memories in args.memories
    ]


def benchmark(folder: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Compare both implementations for each number of objects."""
    weights = write_weights(folder / "propagation.safetensors")
    named = "device", "precision", "memory_profile", "tile_side"
    options = {name: getattr(args, name) for name in named}
    compared = []
    for n_objects in args.objects:
        results, labels = {}, []
        for implementation in args.implementations:
            labels.append(folder / f"{implementation}-{n_objects}.npy")
            results[implementation] = measure(
                {
                    "implementation": implementation,
                    "n_objects": n_objects,
                    "n_frames": args.frames,
                    "size": args.size,
                    "weights": str(weights),
                    "options": options,
                    "labels": str(labels[-1]),
                }
            )
        row: dict[str, Any] = {"cases": list(results.values())}
        if len(results) == len(IMPLEMENTATIONS):
            seconds = {name: each["seconds_per_frame"] for name, each in results.items()}
            row["time_ratio"] = seconds["ours"] / seconds["straightforward"]
            row["labels_that_differ"] = float((np.load(labels[0]) != np.load(labels[1])).mean())
        compared.append(row)
    return compared


def write_weights(path: Path) -> Path:
    """Write the generated weights that the tests use: their masks are neither empty nor full."""
    from safetensors.torch import save_file

    from napari_vos.networks.mivos import PropagationNetwork

    sys.path.insert(0, str(REPOSITORY))
    from tests.golden import fill

    save_file(fill(PropagationNetwork(), "mivos_prop"), path)
    return path


def load(weights: Path) -> PropagationNetwork:
    """Return the propagation network with these weights."""
    from napari_vos.checkpoints import load_network

    network: Any = load_network("mivos_propagation", weights)
    return network


def run_steps(case: dict[str, Any]) -> dict[str, Any]:
    """Return by how many bytes memory rises in each step, and the peak in MB; see `run_case`.

    Bytes are per pixel and, in all steps but the first, per object of a batch.
    """
    import torch

    from napari_vos.engines.mivos_bank import Memory, SpaceTimeBank
    from napari_vos.engines.mivos_frozen import Frozen
    from napari_vos.engines.mivos_model import Correction, MivosModel
    from napari_vos.networks.mivos import FusionNetwork, PropagationNetwork

    size, n_objects, n_memories = case["size"], case["n_objects"], case["n_memories"]
    spills = case["options"]["memory_profile"] == 3
    networks = PropagationNetwork().eval(), FusionNetwork().eval()
    batch_size, tile_side = min(n_objects, 4), case["options"]["tile_side"]
    model = MivosModel(*networks, torch.float32, TOP_K, batch_size, tile_side)
    height, width = size
    cells = height * width // 256
    image, masks = torch.randn(1, 3, height, width), torch.rand(n_objects, 1, height, width)
    frozen = Frozen.of(masks[:0])
    bank = SpaceTimeBank(Path(case["folder"]) if spills else None)
    for t in range(n_memories):
        parts = (torch.randn(n_objects, cells, depth) for depth in (128, 512))
        bank.add(t, Memory(*parts), keep=True)
    correction = Correction(bank.key(0).clone(), torch.cat([masks, masks], dim=1))
    query = model.encode(image)
    steps: dict[str, Callable[[], torch.Tensor | tuple[Tensor, ...]]] = {
        "encode": lambda: model.encode(image),
        "memorize": lambda: model.memorize(image, masks, frozen),
        "find": lambda: model.find(query, bank, frozen),
        "fuse": lambda: model.fuse(
            image,
            query,
            old=masks,
            new=masks,
            correction=correction,
            distance=(0.5, 0.5),
            frozen=frozen,
        ),
    }
    pixels = height * width
    report: dict[str, Any] = {name: case[name] for name in ("size", "n_objects", "n_memories")}
    peaks = []
    for name, step in steps.items():
        rise, peak = peak_of(step)
        report[f"{name}_bytes"] = rise / pixels / (1 if name == "encode" else batch_size)
        peaks.append(peak)
    return {**report, "peak_mb": max(peaks) / 1e6}


def peak_of(step: Callable[[], object]) -> tuple[int, int]:
    """Return by how many bytes the memory of this process rises in a step, and to what."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = resident("VmRSS")
    step()
    peak = resident("VmHWM")
    return peak - before, peak


def resident(name: str) -> int:
    """Return a size that Linux tells of this process, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs=2, default=[480, 864], metavar=("Y", "X"))
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 5])
    parser.add_argument(
        "--implementations", nargs="+", default=[*IMPLEMENTATIONS], choices=[*IMPLEMENTATIONS]
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32", help="of ours; the other has float32")
    parser.add_argument("--memory-profile", type=int, default=3, choices=range(4))
    parser.add_argument("--tile-side", type=int, help="of ours; whole frames if not given")
    parser.add_argument("--steps", action="store_true", help="memory of each step of ours instead")
    parser.add_argument(
        "--memories", type=int, nargs="+", default=[10], help="memory frames of --steps"
    )
    add_out(parser)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        case = json.loads(args.case)
        run = run_steps if case["implementation"] == "steps" else run_case
        print(json.dumps(run(case)))
        return
    report: dict[str, Any] = {"size": args.size, "cpu_count": os.cpu_count()}
    with tempfile.TemporaryDirectory() as folder:
        name, run_all = ("steps", benchmark_steps) if args.steps else ("comparison", benchmark)
        report[name] = run_all(Path(folder), args)
    write_report(report, args.out)


if __name__ == "__main__":
    main()

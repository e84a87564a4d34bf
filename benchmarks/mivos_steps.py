"""Memory of each step of MiVOS: what the engine estimates from, and the peak of a long movie.

Each case runs in a process of its own. It needs Linux.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mivos_cases import TOP_K, measure, resident
from reporting import add_out, write_report

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def run_steps(case: dict[str, Any]) -> dict[str, Any]:
    """Return by how many bytes memory rises in each step, and the peak in MB.

    To be called in a fresh process. Bytes are per pixel and, in all steps but the first, per
    object of a batch.
    """
    import torch

    from napari_vos.engines.mivos_bank import Memory, SpaceTimeBank
    from napari_vos.engines.mivos_frozen import Frozen
    from napari_vos.engines.mivos_model import Correction, MivosModel
    from napari_vos.networks.mivos import FusionNetwork, PropagationNetwork

    size, n_objects, n_memories = case["size"], case["n_objects"], case["n_memories"]
    spills = case["memory_profile"] == 3
    networks = PropagationNetwork().eval(), FusionNetwork().eval()
    batch_size, tile_side = min(n_objects, 4), case["tile_side"]
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
    named = "name", "size", "n_objects", "n_memories"
    report: dict[str, Any] = {name: case[name] for name in named}
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs=2, default=[480, 864], metavar=("Y", "X"))
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--memories", type=int, nargs="+", default=[10])
    parser.add_argument("--memory-profile", type=int, default=3, choices=range(4))
    parser.add_argument("--tile-side", type=int, help="whole frames if not given")
    add_out(parser)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(run_steps(json.loads(args.case))))
        return
    with tempfile.TemporaryDirectory() as folder:
        steps = [
            measure(
                __file__,
                {
                    "name": f"{n_memories} memories",
                    "n_objects": n_objects,
                    "n_memories": n_memories,
                    "size": args.size,
                    "memory_profile": args.memory_profile,
                    "tile_side": args.tile_side,
                    "folder": tempfile.mkdtemp(dir=folder),
                },
            )
            for n_objects in args.objects
            for n_memories in args.memories
        ]
    write_report({"steps": steps}, args.out)


if __name__ == "__main__":
    main()

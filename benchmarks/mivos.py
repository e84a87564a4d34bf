"""Time and memory of MiVOS, against a straightforward version of the same arithmetic.

Both run on the same generated weights and the same movie, each case in a process of its own;
the first frames aren't timed. Generated weights can hardly tell objects apart: where two are
as probable as each other any rounding decides. So it is told how far probabilities are off, and
how many labels differ where the best is clearly better than the second.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from mivos_cases import (
    IMPLEMENTATIONS,
    MEMORY_EVERY,
    make_movie,
    measure,
    resident,
    write_weights,
)
from reporting import add_out, write_report

CLEAR = 2**-10
"""A larger margin between two probabilities than float16, in which evidence is kept, can hide."""

OPTIONS = "device", "memory_profile", "memory_frames", "tile_side", "settling"


def run_case(case: dict[str, Any]) -> dict[str, Any]:
    """Propagate and measure; to be called in a fresh process."""
    size, options = (case["size"][0], case["size"][1]), case["options"]
    images, first = make_movie(case["n_frames"], size, case["n_objects"])
    run = IMPLEMENTATIONS[case["implementation"]]
    frames = run(images, first, Path(case["weights"]), options)
    seconds = []
    for number in count():
        begun = clocks()
        frame = next(frames, None)
        if frame is None:
            break
        seconds.append(clocks() - begun)
        np.savez(Path(case["folder"]) / f"{number}.npz", **frame)
    peak = peak_bytes(options["device"])
    timed = range(options["settling"], len(seconds))
    per_frame, cpu_per_frame = (
        float(each) for each in np.mean([seconds[t] for t in timed], axis=0)
    )
    n_memories = np.mean(
        [1 + index // MEMORY_EVERY + (index % MEMORY_EVERY > 0) for index in timed]
    )
    flops = count_flops(size, case["n_objects"], float(n_memories))
    rate = matrix_rate(options["device"], options["precision"])
    return {
        "name": case["name"],
        "seconds_per_frame": per_frame,
        "cpu_seconds_per_frame": cpu_per_frame,
        "peak_mb": peak / 1e6,
        "gflop_per_frame": flops / 1e9,
        "matrix_gflops": rate / 1e9,
        "share_of_matrix_rate": flops / per_frame / rate,
    }


def clocks() -> Any:
    """Return the seconds of the clock, and those of all threads of this process on CPUs."""
    return np.array([time.perf_counter(), time.process_time()])


def peak_bytes(device: str) -> int:
    """Return the peak of this process, on the device if that has memory of its own.

    Not the `ru_maxrss` of a process, which begins with that of the one that started it.
    """
    import torch

    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated()
    return resident("VmHWM")


def count_flops(size: tuple[int, int], n_objects: int, n_memories: float) -> float:
    """Return the operations of a frame: of all convolutions, and of comparing keys."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from napari_vos.networks.mivos import PropagationNetwork
    from napari_vos.networks.mivos.propagation import KEY_DEPTH, STRIDE, VALUE_DEPTH

    height, width = (-(-side // STRIDE) * STRIDE for side in size)
    cells = height * width // STRIDE**2
    with torch.device("meta"), torch.inference_mode():
        network = PropagationNetwork().eval()
        image, masks = torch.empty(1, 3, height, width), torch.empty(n_objects, 1, height, width)
        readout = torch.empty(n_objects, VALUE_DEPTH, height // STRIDE, width // STRIDE)
        with FlopCounterMode(display=False) as counter:
            network.decode(network.encode(image), readout)
            network.memorize(image, masks, masks)
    return counter.get_total_flops() + 2 * n_objects * n_memories * cells**2 * KEY_DEPTH


def matrix_rate(device: str, precision: str) -> float:
    """Return how many operations a second large matrices are multiplied with.

    In float32 on CUDA with TF32, if convolutions have it.
    """
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    side = 8192 if device.startswith("cuda") else 1024
    matrix = torch.ones(side, side, device=device, dtype=getattr(torch, precision))
    times = []
    for _ in range(4):
        begun = time.perf_counter()
        (matrix @ matrix)[0, 0].item()  # waits for the device
        times.append(time.perf_counter() - begun)
    return 2 * side**3 / min(times)


def compare(folder: Path, args: argparse.Namespace, n_objects: int) -> dict[str, Any]:
    """Run all implementations with so many objects."""
    weights = write_weights(folder / "propagation.safetensors")
    common = {"n_objects": n_objects, "n_frames": args.frames, "size": args.size}
    options = {name: getattr(args, name) for name in OPTIONS}
    chosen = [("straightforward", "float32", False)] if "straightforward" in args.cases else []
    if "ours" in args.cases:
        ways = (False, True) if args.compiled else (False,)
        chosen += [("ours", precision, way) for precision in args.precision for way in ways]
    report, folders = [], {}
    for implementation, precision, compiled in chosen:
        name = f"{implementation} {precision}" + " compiled" * compiled
        folders[name] = Path(tempfile.mkdtemp(dir=folder))
        case = {
            "name": name,
            "implementation": implementation,
            **common,
            "weights": str(weights),
            "options": {**options, "precision": precision, "compiled": compiled},
            "folder": str(folders[name]),
        }
        result = measure(__file__, case)
        report.append(result)
        if implementation == "ours" and "straightforward" in args.cases:
            for kind in ("seconds", "cpu_seconds"):
                key = f"{kind}_per_frame"
                result[f"ratio_of_{kind}"] = result[key] / report[0][key]
            result |= differences(folders[name], folders[report[0]["name"]])
            report[-1] = result
    return {**common, "cases": report}


def differences(ours: Path, straightforward: Path) -> dict[str, float]:
    """Compare the frames in two folders."""
    shares = []
    for path in straightforward.glob("*.npz"):
        with np.load(path) as expected, np.load(ours / path.name) as found:
            differ = expected["labels"] != found["labels"]
            clear = expected["margins"] > CLEAR
            far = np.abs(expected["probabilities"] - found["probabilities"].astype(np.float32))
        shares.append(
            (differ.mean(), (differ & clear).sum() / clear.sum(), (~clear).mean(), far.max())
        )
    differing, clearly, unclear, _ = np.mean(shares, axis=0)
    return {
        "labels_that_differ": float(differing),
        "of_clear_ones": float(clearly),
        "pixels_without_a_clear_one": float(unclear),
        "largest_difference_of_probabilities": float(max(far for *_, far in shares)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs=2, default=[480, 864], metavar=("Y", "X"))
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 5])
    parser.add_argument(
        "--cases", nargs="+", default=[*IMPLEMENTATIONS], choices=[*IMPLEMENTATIONS]
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--precision",
        nargs="+",
        default=["float32"],
        choices=["float32", "float16", "bfloat16"],
        help="of ours; the other has float32",
    )
    parser.add_argument("--compiled", action="store_true", help="ours compiled as well")
    parser.add_argument("--settling", type=int, default=1, help="frames that aren't timed")
    parser.add_argument("--memory-profile", type=int, default=3, choices=range(4))
    parser.add_argument("--memory-frames", type=int, help="of ours; all if not given")
    parser.add_argument("--tile-side", type=int, help="of ours; whole frames if not given")
    add_out(parser)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(run_case(json.loads(args.case))))
        return
    with tempfile.TemporaryDirectory() as folder:
        compared = [compare(Path(folder), args, n_objects) for n_objects in args.objects]
    write_report({"cpu_count": os.cpu_count(), "comparison": compared}, args.out)


if __name__ == "__main__":
    main()

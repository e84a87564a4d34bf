"""Time and memory of propagation: by objects, by frame size, by number of frames.

Every case runs in a process of its own, on a simulated movie in a TIFF file.
Times are between the first and the last propagated frame, so that loading the
weights isn't counted; memory is the process's peak.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from reporting import add_out, write_report

N_OBJECTS = (1, 10, 100)
SIZES = (512, 1024, 2048)
LENGTHS = (12, 48, 192)


def run_case(movie: Path, n_objects: int, options: dict[str, Any]) -> dict[str, Any]:
    """Propagate the first objects of a movie and measure; to be called in a fresh process."""
    from napari_vos import Session, open_frames, open_labels

    first = open_labels(movie / "labels.tif")[0]
    ids = np.unique(first[first > 0])[:n_objects]
    frames = open_frames(movie / "images.tif")
    with Session(frames, **options) as session:
        session.add_mask(0, np.where(np.isin(first, ids), first, 0))
        estimate = session.estimate()
        counts, times = [], []
        with closing(session.propagate()) as results:
            for result in results:
                counts.append(len(result.object_ids))
                times.append(time.perf_counter())
    seconds, object_frames = times[-1] - times[0], sum(counts[1:])
    return {
        "n_objects": len(ids),
        "n_frames": frames.n_frames,
        "shape": frames.shape,
        "seconds": seconds,
        "ms_per_object_frame": 1000 * seconds / max(object_frames, 1),
        "ms_per_frame": 1000 * seconds / (len(times) - 1),
        "peak_mb": peak_bytes() / 1e6,
        "estimated_mb": estimate.memory / 1e6,
        "estimated_seconds": estimate.seconds,
    }


def peak_bytes() -> int:
    """Return the most main memory that this process has held.

    On Linux not by `ru_maxrss`, which begins with that of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        peak = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        return 1024 * int(peak[1]) if peak else 0
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def write_movie(folder: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    import tifffile

    folder.mkdir()
    for name, stack in (("images", images), ("labels", labels)):
        tifffile.imwrite(folder / f"{name}.tif", stack, photometric="minisblack")
    return folder


def simulate(size: int, n_cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Return 12 frames with cells that neither divide nor vanish."""
    from napari_vos.simulation import Modality, Scenario, simulate

    scenario = Scenario(
        modality=Modality.FLUORESCENCE,
        shape=(size, size),
        n_frames=LENGTHS[0],
        n_cells=n_cells,
        clustering=0.0,
        division_rate=0.0,
        death_rate=0.0,
        entry_rate=0.0,
    )
    movie = simulate(scenario, seed=7)
    return movie.images, movie.labels


def measure(movie: Path, n_objects: int, options: dict[str, Any]) -> dict[str, Any]:
    """Run a case in a process of its own."""
    case = json.dumps({"movie": str(movie), "n_objects": n_objects, "options": options})
    finished = subprocess.run(
        [sys.executable, __file__, "--case", case], stdout=subprocess.PIPE, text=True, check=True
    )
    result: dict[str, Any] = json.loads(finished.stdout)
    print(
        f"{result['n_objects']:4} objects  {result['n_frames']:4} frames  {result['shape']}  "
        f"{result['ms_per_object_frame']:.1f} ms per object and frame  "
        f"{result['peak_mb']:.0f} MB",
        file=sys.stderr,
    )
    return result


def benchmark(folder: Path, n_objects: list[int], options: dict[str, Any]) -> dict[str, Any]:
    # One crowd for the number of objects, one small field for the rest: a field
    # that repeats itself in space or time brings no new objects.
    crowd = write_movie(folder / "crowd", *simulate(1024, round(1.3 * max(n_objects))))
    images, labels = simulate(SIZES[0], 12)
    by_objects = [measure(crowd, n, options) for n in n_objects]
    by_size = []
    for size in SIZES:
        margin = ((0, 0), (0, size - SIZES[0]), (0, size - SIZES[0]))
        wide = np.pad(images, margin, mode="wrap"), np.pad(labels, margin)
        by_size.append(measure(write_movie(folder / f"size{size}", *wide), 10, options))
    by_length = []
    for length in LENGTHS:
        there_and_back = np.r_[: len(images), len(images) - 2 : 0 : -1]
        order = np.resize(there_and_back, length)
        movie = write_movie(folder / f"length{length}", images[order], labels[order])
        by_length.append(measure(movie, 10, options))
    fewest, most = (by_objects[index]["ms_per_frame"] for index in (0, -1))
    return {
        "by_objects": by_objects,
        "most_to_fewest": most / fewest,
        "by_size": by_size,
        "by_length": by_length,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="compact")
    parser.add_argument("--objects", type=int, nargs="+", default=N_OBJECTS, metavar="N")
    parser.add_argument("--weights", help="weights file; the shipped ones if not given")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    add_out(parser)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        case = json.loads(args.case)
        result = run_case(Path(case["movie"]), case["n_objects"], case["options"])
        print(json.dumps(result))
        return
    options = {name: getattr(args, name) for name in ("engine", "weights", "device", "precision")}
    with tempfile.TemporaryDirectory() as folder:
        report = benchmark(Path(folder), args.objects, options)
    report |= {"options": options, "cpu_count": os.cpu_count()}
    write_report(report, args.out)


if __name__ == "__main__":
    main()

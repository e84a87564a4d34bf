"""Frames per second of the detectors: the published networks at 550 x 550, and ours.

Each figure is the median time of a frame, network, suppression and masks together. Detectors
take turns, so that a busy machine slows all of them. The published networks run with random
weights under the authors' keys, which find nothing; ours with those of the package, or random
ones if --weights isn't given and there are none.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch
from reporting import add_out, write_report
from safetensors.torch import save_file

from napari_vos import FrameStack, checkpoints
from napari_vos.engines import create_detector
from napari_vos.simulation import sample

if TYPE_CHECKING:
    from napari_vos.engines.base import Detector

PUBLISHED = ("yolact_resnet50", "yolact_base", "yolact_darknet53", "yolact_plus_base")
SIDE = 550
"""Of the frame, and of what the published networks see of any."""


def make_detector(
    name: str, frames: FrameStack, args: argparse.Namespace, folder: Path
) -> Detector:
    """Return a detector, if need be with weights that learnt nothing."""
    is_ours = name == "cells"
    weights = args.weights if is_ours else None
    is_shipped = name in {entry.name for entry in checkpoints.registered()}
    if weights is None and not is_shipped:
        torch.manual_seed(0)
        weights = folder / f"{name}.safetensors"
        save_file(checkpoints.NETWORKS[name]().state_dict(), weights)
    return create_detector(
        "cells" if is_ours else "yolact",
        frames,
        weights=weights,
        device=args.device,
        precision=args.precision,
    )


def seconds_for(detector: Detector) -> float:
    """Return how long one frame takes."""
    started = time.perf_counter()
    detector.detect(0).instances(score=0.3, overlap=0.5)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detectors", nargs="+", default=(*PUBLISHED, "cells"), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--weights", type=Path, help="file for 'cells'")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    add_out(parser)
    args = parser.parse_args()

    images = sample("nuclei").images[:1]
    repeats = [-(-SIDE // length) for length in images.shape[1:]]
    frames = FrameStack(np.tile(images, (1, *repeats))[:, :SIDE, :SIDE])
    with tempfile.TemporaryDirectory() as folder:
        detectors = {
            name: make_detector(name, frames, args, Path(folder)) for name in args.detectors
        }
        for detector in detectors.values():
            seconds_for(detector)
        rounds = [
            {name: seconds_for(detector) for name, detector in detectors.items()}
            for _ in range(args.rounds)
        ]
    figures = {}
    for name in detectors:
        seconds = median(found[name] for found in rounds)
        figures[name] = {"seconds_per_frame": seconds, "frames_per_second": 1 / seconds}
        print(f"{name:18} {1 / seconds:6.2f} frames per second", file=sys.stderr)
    plan = next(iter(detectors.values())).plan
    about = {key: plan[key] for key in ("device", "precision", "threads", "torch")}
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    result = {"shape": list(frames.shape), **machine, **about, "detectors": figures}
    write_report(result, args.out)


if __name__ == "__main__":
    main()

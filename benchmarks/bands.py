"""What hiding a band of grey frames brings MAST against showing them whole.

Both networks begin alike and learn from the same clips for the same number of steps. Each
part of a sequence is then propagated from the truth of frame 0, and J compared on frame 10.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from reporting import add_out, add_reference, write_report
from safetensors.torch import save_file
from torch import Tensor

from napari_vos import FrameStack, Session, open_frames, open_labels
from napari_vos.metrics import region_similarity
from napari_vos.networks.mast import MastSmall, drop_channel
from napari_vos.training import mast
from napari_vos.training.loop import Learner

PARTS = {
    "psc_phase_01": (0, 0, 150),
    "dic_hela_01": (0, 0, 512),
    "hela_nuclei_01": (0, 200, 200),
    "sim_nuclei_01": (0, 0, 384),
}
"""Top, left and side of what is looked at of each sequence, for the sake of time."""

LAST = 10
"""The frame compared."""


def show_whole(images: Tensor, channel: int) -> tuple[Tensor, Tensor]:
    """Return images as they are, and one of their channels."""
    return images, images[..., channel : channel + 1, :, :]


WAYS = {"hidden": drop_channel, "whole": show_whole}


def learn(recipe: mast.MastTraining, way: str, steps: int) -> MastSmall:
    """Return a network that has learned from pairs of frames."""
    torch.manual_seed(recipe.seed)
    learner = Learner(MastSmall().train(), recipe.learning_rate, warm_up=30)
    generator = torch.Generator().manual_seed(recipe.seed)
    stream = mast.ClipStream(mast._gather(recipe), recipe, mast.STAGES[0], 0)
    with patch("napari_vos.training.mast.drop_channel", WAYS[way]):
        for batch in stream:
            found = mast.reconstruct(learner.network, learner.to_device(batch), generator)
            learner.learn(found, learner.step / steps)
            if learner.step >= steps:
                break
    return learner.average


def measure(folder: Path, weights: Path | None) -> float:
    """Return mean J on the frame compared; of the first frame copied without weights."""
    top, left, side = PARTS[folder.name]
    part = (slice(top, top + side), slice(left, left + side))
    truth = open_labels(folder / "labels.tif")
    first, last = truth[0][part], truth[LAST][part]
    found = first
    if weights is not None:
        stack = open_frames(folder / "images.tif")
        images = np.stack([stack.read(t)[(0, *part)] for t in range(LAST + 1)])
        with Session(FrameStack(images, axes="TYX"), engine="mast", weights=weights) as session:
            session.add_mask(0, first)
            session.run()
            found = session.labels[LAST]
    ids = np.intersect1d(first[first > 0], last)
    return float(np.mean([region_similarity(found == i, last == i) for i in ids]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_reference(parser)
    parser.add_argument("--steps", type=int, default=140)
    parser.add_argument("--scenes", type=int, default=48)
    parser.add_argument("--movies", type=Path, nargs="*", default=(), help="to learn from as well")
    parser.add_argument("--training", type=Path, help="folder in which scenes are kept")
    add_out(parser)
    args = parser.parse_args()
    if args.reference is None:
        parser.error("name the reference folder: --reference or NAPARI_VOS_REFERENCE")
    folders = [Path(args.reference) / "data" / name for name in PARTS]
    report = {"copied": {folder.name: measure(folder, None) for folder in folders}}
    with tempfile.TemporaryDirectory() as temporary:
        recipe = mast.MastTraining(
            out=args.training or Path(temporary), movies=tuple(args.movies), scenes=args.scenes
        )
        for way in WAYS:
            network = learn(recipe, way, args.steps)
            weights = Path(temporary) / f"{way}.safetensors"
            save_file({k: v.contiguous() for k, v in network.state_dict().items()}, weights)
            report[way] = {folder.name: measure(folder, weights) for folder in folders}
    for name, scores in report.items():
        row = "  ".join(f"{sequence} {j:.3f}" for sequence, j in scores.items())
        print(f"{name:7} {row}", file=sys.stderr)
    write_report({"steps": args.steps, "scenes": args.scenes, "J": report}, args.out)


if __name__ == "__main__":
    main()

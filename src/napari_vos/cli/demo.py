"""`napari-vos demo`: the main job on a simulated time-lapse."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from napari_vos.cli.options import AsJson, Device, Engine, Precision, Weights, report
from napari_vos.errors import StoreError


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("napari-vos-demo"),
    engine: Engine = "compact",
    weights: Weights = None,
    device: Device = "auto",
    precision: Precision = "auto",
    as_json: AsJson = False,
) -> None:
    """Propagate the first masks of a simulated time-lapse, and score the result.

    Writes images.tif, prompts.tif, truth.tif, labels.tif and overlay.gif, and
    replaces them if they are there. The score of the first frame simply copied
    is told beside that of the propagation.
    """
    import numpy as np
    import tifffile

    from napari_vos.cli.overlay import write_overlay
    from napari_vos.frames import FrameStack
    from napari_vos.io import write_labels
    from napari_vos.metrics import evaluate
    from napari_vos.session import Session
    from napari_vos.simulation import sample

    try:
        out.mkdir(parents=True, exist_ok=True)
        movie = sample("nuclei")
        tifffile.imwrite(
            out / "images.tif",
            movie.images,
            imagej=True,
            compression="zlib",
            metadata={"axes": "TYX"},
        )
    except OSError as error:
        raise StoreError(
            f"Can't write to '{out}': {error.strerror}. Choose another folder with --out."
        ) from error
    truth = movie.labels
    prompts = np.zeros_like(truth)
    prompts[0] = truth[0]

    frames = FrameStack(movie.images, axes="TYX", name="demo")
    with Session(
        frames, engine=engine, weights=weights, device=device, precision=precision
    ) as session:
        session.add_mask(0, truth[0])
        started = time.perf_counter()
        session.run()
        seconds = time.perf_counter() - started
        labels = np.asarray(session.labels[:])
    for name, stack in (("prompts", prompts), ("truth", truth), ("labels", labels)):
        write_labels(out / f"{name}.tif", stack, overwrite=True)
    shown = np.stack([frames.normalized(t)[0] for t in range(frames.n_frames)])
    write_overlay(out / "overlay.gif", shown, labels)

    scores = evaluate(labels, truth, prompts={0: truth[0]})
    copied = evaluate(np.repeat(truth[:1], len(truth), axis=0), truth, prompts={0: truth[0]})
    result = {
        "J": scores.j,
        "F": scores.f,
        "J&F": scores.jf,
        "ghosts": scores.ghosts,
        "copied_first_frame": {"J": copied.j, "F": copied.f, "J&F": copied.jf},
        "n_frames": len(truth),
        "n_objects": len(scores.by_object),
        "seconds": seconds,
        "out": out,
    }
    text = (
        f"Propagated:         J {scores.j:.3f}   F {scores.f:.3f}   J&F {scores.jf:.3f}\n"
        f"First frame copied: J {copied.j:.3f}   F {copied.f:.3f}   J&F {copied.jf:.3f}\n"
        f"{len(scores.by_object)} objects on {len(truth)} frames in {seconds:.1f} s; look at "
        f"'{out / 'overlay.gif'}'."
    )
    report(result, text, as_json=as_json)

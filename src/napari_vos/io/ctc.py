"""Tracks in the form of the Cell Tracking Challenge: masks and `res_track.txt`.

Maška et al., The Cell Tracking Challenge: 10 years of objective benchmarking,
Nature Methods 2023.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tifffile

from napari_vos.errors import FramesError, StoreError
from napari_vos.io.labels import check_labels
from napari_vos.io.output import whole_output
from napari_vos.prompts import MAX_OBJECT_ID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_vos.frames.arrays import LazyArray

TABLE = "res_track.txt"


class CtcTrack(NamedTuple):
    """A line of `res_track.txt`.

    Attributes
    ----------
    label
        In the masks, 1 to 65535.
    begin, end
        First and last frame; it is on all frames between.
    parent
        Label of the track it comes from, which has ended before; 0 if there is none.
    """

    label: int
    begin: int
    end: int
    parent: int


def is_ctc(path: Path) -> bool:
    """Return whether a folder holds masks with their `res_track.txt`, and nothing else."""
    names = [entry.name for entry in path.iterdir()] if path.is_dir() else []
    masks = all(name.startswith("mask") and name.endswith(".tif") for name in {*names} - {TABLE})
    return TABLE in names and masks


def write_ctc(
    path: str | PathLike[str],
    labels: LazyArray | Sequence[NDArray[Any]],
    parents: Mapping[int, int],
    *,
    overwrite: bool = False,
) -> tuple[CtcTrack, ...]:
    """Write a folder of masks and tracks, one frame in memory at a time, whole or not at all.

    A track has no gaps there. An object that comes back keeps its id for the first
    stretch; each later one has a label of its own and the one before as parent.

    Parameters
    ----------
    path
        A new folder: `mask000.tif` and so on, `res_track.txt`.
    labels
        (T, Y, X), any integer dtype.
    parents
        The object that each object comes from, by id.
    overwrite
        Whether to replace such a folder.

    Returns
    -------
    tuple of CtcTrack
        The lines of the table, ascending.

    Raises
    ------
    FramesError
        If there is no object, a frame can't be labels, a parent is on no frame, or it is
        still there when its child begins.
    StoreError
        If `path` exists, or can't be written.
    """
    path = Path(path)
    n_frames = len(labels) if not hasattr(labels, "shape") else int(labels.shape[0])
    name = f"labels for {path}"

    def read(t: int) -> NDArray[np.uint16]:
        return check_labels(np.asarray(labels[t]), t, name)

    tracks = _linked(_stretches(map(_ids_of, map(read, range(n_frames)))), parents, path)
    digits = max(3, len(str(n_frames - 1)))
    with whole_output(path, overwrite=overwrite, replaceable=is_ctc) as temporary:
        temporary.mkdir()
        for t in range(n_frames):
            frame = read(t)
            names = np.arange(MAX_OBJECT_ID + 1, dtype=np.uint16)
            for object_id, track in tracks:
                if track.begin <= t <= track.end:
                    names[object_id] = track.label
            tifffile.imwrite(
                temporary / f"mask{t:0{digits}}.tif",
                names[frame],
                compression="zlib",
                photometric="minisblack",
            )
        rows = tuple(sorted(track for _, track in tracks))
        text = "".join(f"{' '.join(map(str, row))}\n" for row in rows)
        (temporary / TABLE).write_text(text, encoding="ascii")
    return rows


def _ids_of(labels: NDArray[np.uint16]) -> list[int]:
    return [int(i) for i in np.unique(labels) if i]


def _stretches(frames: Iterator[list[int]]) -> dict[int, list[tuple[int, int]]]:
    """Return the first and last frames of the stretches in which each object is there."""
    found: dict[int, list[tuple[int, int]]] = {}
    for t, ids in enumerate(frames):
        for i in ids:
            own = found.setdefault(i, [])
            begin = own.pop()[0] if own and own[-1][1] == t - 1 else t
            own.append((begin, t))
    return found


def _linked(
    stretches: Mapping[int, list[tuple[int, int]]], parents: Mapping[int, int], path: Path
) -> list[tuple[int, CtcTrack]]:
    """Return the tracks with the object of each."""
    if not stretches:
        raise FramesError(f"There are no tracks to write to '{path}': all frames are empty.")
    fresh = max(stretches)
    labelled: dict[int, list[tuple[int, int, int]]] = {}
    for i, found in stretches.items():
        names = [i, *range(fresh + 1, fresh + len(found))]
        fresh += len(found) - 1
        labelled[i] = [(name, *ends) for name, ends in zip(names, found, strict=True)]
    if fresh > MAX_OBJECT_ID:
        raise StoreError(
            f"Can't write '{path}': objects that come back need labels of their own, and with "
            f"them there would be labels above {MAX_OBJECT_ID}."
        )
    tracks = []
    for i, own in labelled.items():
        parent = _last_label(i, own[0][1], labelled, parents)
        for label, begin, end in own:
            tracks.append((i, CtcTrack(label, begin, end, parent)))
            parent = label
    return tracks


def _last_label(
    child: int,
    begin: int,
    labelled: Mapping[int, list[tuple[int, int, int]]],
    parents: Mapping[int, int],
) -> int:
    parent = parents.get(child)
    if parent is None:
        return 0
    if parent not in labelled:
        raise FramesError(
            f"Object {child} has the parent {parent}, which is on no frame. Take the parent away."
        )
    label, _, end = labelled[parent][-1]
    if end >= begin:
        raise FramesError(
            f"Object {child} begins on frame {begin}, and its parent {parent} is there until frame "
            f"{end}. End the parent before, or take it away as parent."
        )
    return label

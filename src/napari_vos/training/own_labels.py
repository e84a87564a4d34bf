"""Annotated frames of the user's own: what they say, and which of them are kept for judgement."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from skimage.measure import label, regionprops_table

from napari_vos.errors import FramesError
from napari_vos.io.labels import check_labels
from napari_vos.metrics import evaluate_instances
from napari_vos.training.fields import UNKNOWN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vos.engines.base import Detector
    from napari_vos.frames import FrameStack
    from napari_vos.metrics import InstanceScores
    from napari_vos.metrics.evaluation import Labels

FRAGMENT = 0.1
"""Of an instance in several pieces those with less of its largest one's area are not judged."""

MAX_HELD_OUT = 4
"""Frames that are searched for judgement at most: each takes time from learning."""


@dataclass(frozen=True, eq=False)
class AnnotatedFrames:
    """Frames with masks that are right.

    Attributes
    ----------
    frames
        The images.
    by_frame
        Labels (Y, X) int32 of annotated frames: instances, 0 for the background,
        `UNKNOWN` where nobody has said what there is.
    """

    frames: FrameStack
    by_frame: Mapping[int, NDArray[np.int32]]

    @property
    def filled(self) -> list[int]:
        """The annotated frames."""
        return list(self.by_frame)

    def labels(self, t: int) -> NDArray[np.int32]:
        """Return the labels of an annotated frame."""
        return self.by_frame[t]

    @property
    def fingerprint(self) -> str:
        """Hash of the images and of what is said of them."""
        digest = hashlib.sha256(self.frames.fingerprint.encode())
        for t, labels in sorted(self.by_frame.items()):
            digest.update(f"{t} {labels.shape}".encode())
            digest.update(labels.tobytes())
        return digest.hexdigest()

    @property
    def diameter(self) -> float:
        """Of a disk of the median area of all instances, in pixels."""
        areas = [np.bincount(labels[labels > 0]) for labels in self.by_frame.values()]
        found = np.concatenate(areas)
        return float(2 * np.sqrt(np.median(found[found > 0]) / np.pi))

    @property
    def length(self) -> float:
        """Median of the longer sides of the boxes around all instances, in pixels."""
        boxes = [
            box
            for labels in self.by_frame.values()
            for box in ndimage.find_objects(np.maximum(labels, 0))
            if box is not None
        ]
        return float(np.median([max(span.stop - span.start for span in box) for box in boxes]))

    def hold_out(self, share: float) -> tuple[AnnotatedFrames, AnnotatedFrames]:
        """Return what to learn from, and what to be judged by.

        Parameters
        ----------
        share
            Of the frames, the last ones, that are kept for judgement. Of a single
            frame it is that share of its instances, at one of its ends.

        Raises
        ------
        FramesError
            If there is but one instance.
        """
        times = sorted(self.by_frame)
        if len(times) == 1:
            learned, held = _divide(self.by_frame[times[0]], share, times[0])
            return (
                AnnotatedFrames(self.frames, {times[0]: learned}),
                AnnotatedFrames(self.frames, {times[0]: held}),
            )
        n_held = min(max(1, round(share * len(times))), len(times) - 1)
        last = times[-n_held:]
        chosen = np.unique(np.linspace(0, n_held - 1, min(n_held, MAX_HELD_OUT)).astype(int))
        return (
            AnnotatedFrames(self.frames, {t: self.by_frame[t] for t in times[:-n_held]}),
            AnnotatedFrames(self.frames, {last[i]: self.by_frame[last[i]] for i in chosen}),
        )

    def score(self, detector: Detector, *, score: float, overlap: float) -> InstanceScores:
        """Search the annotated frames and score what is found where something is known."""
        found, truth = [], []
        for t, labels in self.by_frame.items():
            instances = detector.detect(t).instances(score=score, overlap=overlap)
            found.append(forget(instances.labels, labels == UNKNOWN))
            truth.append(np.maximum(labels, 0))
        return evaluate_instances(np.stack(found), np.stack(truth))


def gather(
    frames: FrameStack,
    labels: Labels,
    *,
    annotated: Collection[int] | None = None,
    incomplete: Collection[int] = (),
    ignored: Labels | None = None,
) -> AnnotatedFrames:
    """Read the annotated frames of a movie.

    An instance in several pieces is taken for several instances, as when all cells
    have been painted with one label; small fragments are not judged.

    Parameters
    ----------
    frames
        The images.
    labels
        (T, Y, X) integers.
    annotated
        Frames whose masks are right; None for all that hold any.
    incomplete
        Frames on which something in view has no mask: what has none there is not
        taken for background.
    ignored
        (T, Y, X), not 0 where it isn't known what there is; None for nowhere.

    Raises
    ------
    FramesError
        If labels and images differ in shape, a frame is outside the stack or empty,
        or there is no instance at all.
    """
    shape = (frames.n_frames, *frames.shape)
    for name, stack in (("labels", labels), ("regions to ignore", ignored)):
        if stack is not None and tuple(stack.shape) != shape:
            raise FramesError(
                f"The {name} have shape {tuple(stack.shape)} and the images '{frames.name}' "
                f"{shape}; expected the same (T, Y, X). Choose those of these images."
            )
    by_frame: dict[int, NDArray[np.int32]] = {}
    for t in range(frames.n_frames) if annotated is None else sorted(set(annotated)):
        if not 0 <= t < frames.n_frames:
            raise FramesError(
                f"Frame {t} is outside '{frames.name}'; expected 0 to {frames.n_frames - 1}."
            )
        painted = check_labels(np.asarray(labels[t]), t, "labels")
        said = separate(painted)
        if t in incomplete:
            said[painted == 0] = UNKNOWN
        if ignored is not None:
            said[np.asarray(ignored[t]) != 0] = UNKNOWN
        if (said > 0).any():
            by_frame[t] = said
        elif annotated is not None:
            raise FramesError(
                f"The labels of frame {t} are empty. Paint its cells, or choose other frames."
            )
    if not by_frame:
        raise FramesError(
            "There is nothing to learn from: the labels are empty. Paint the cells of a few "
            "frames, each cell with a label of its own."
        )
    return AnnotatedFrames(frames, by_frame)


def separate(labels: NDArray[Any]) -> NDArray[np.int32]:
    """Return labels (Y, X) whose every instance is in one piece, small fragments `UNKNOWN`."""
    found = label(labels, connectivity=2)  # type: ignore[no-untyped-call]
    pieces: NDArray[np.int32] = found.astype(np.int32)
    n_pieces = int(pieces.max())
    areas = np.bincount(pieces.ravel(), minlength=n_pieces + 1)
    owner = np.zeros(n_pieces + 1, int)
    owner[pieces] = labels
    largest = np.zeros(int(labels.max()) + 1, int)
    np.maximum.at(largest, owner[1:], areas[1:])
    fragments = areas < FRAGMENT * largest[owner]
    fragments[0] = False
    pieces[fragments[pieces]] = UNKNOWN
    return pieces


def forget(found: NDArray[np.uint16], unknown: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Return labels (Y, X) without those instances of which more than half lies in `unknown`."""
    areas = np.bincount(found.ravel())
    hidden = np.bincount(found[unknown], minlength=len(areas))
    kept = 2 * hidden <= areas
    return np.where(kept[found], found, 0).astype(np.uint16)


def _divide(
    labels: NDArray[np.int32], share: float, t: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the same frame twice: without one end of it, and without all else."""
    positive = np.where(labels > 0, labels, 0)
    properties = ("label", "centroid")
    found = regionprops_table(positive, properties=properties)  # type: ignore[no-untyped-call]
    n_instances = len(found["label"])
    if n_instances < 2:
        raise FramesError(
            f"Frame {t} is the only one with labels, and holds a single cell: none is left to "
            "judge by. Paint more cells, or another frame."
        )
    axis = int(np.argmax(labels.shape))
    centres = found[f"centroid-{axis}"]
    order = np.argsort(centres)
    n_held = min(max(1, round(share * n_instances)), n_instances - 1)
    border = centres[order[-n_held - 1 :][:2]].mean()
    is_held = np.zeros(int(labels.max()) + 1, bool)
    is_held[found["label"][order[-n_held:]]] = True
    beyond = np.indices(labels.shape)[axis] > border
    beyond = np.where(labels > 0, is_held[positive], beyond)
    return np.where(beyond, UNKNOWN, labels), np.where(beyond, labels, UNKNOWN)

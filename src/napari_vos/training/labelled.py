"""Frames that the user has labelled, and the clips of three that are cut from them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
from scipy import ndimage

from napari_vos.engines.mivos_frames import normalized_image
from napari_vos.engines.mivos_scale import scale_for
from napari_vos.engines.windows import crop_windows
from napari_vos.errors import FramesError
from napari_vos.io.labels import check_labels
from napari_vos.networks.mivos.propagation import STRIDE
from napari_vos.training.clips import SMALLEST_AREA
from napari_vos.training.loop import SeededStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_vos.frames import FrameStack
    from napari_vos.metrics.evaluation import Labels

LARGEST_GAP = 25
"""Frames from one labelled frame of a clip to the next at most, if there are any as near."""

MOST_FRAMES, MOST_BYTES = 200, 1 << 30
"""Of more labelled frames those are learned from that are spread evenly over the movie."""

MOST_OBJECTS = 2
"""Of a clip, as the authors have it."""


Triple = tuple[int, int, int]


class Clips(NamedTuple):
    """Squares cut from three frames each, in the order in which objects are followed.

    Attributes
    ----------
    images
        (B, 3, 3, S, S) float32, normalised as MiVOS takes them.
    labels
        (B, 3, S, S) int64: 0 for the background, objects from 1; all of them are in the
        first frame.
    times
        (B, 3) int64, which frames these are.
    """

    images: torch.Tensor
    labels: torch.Tensor
    times: torch.Tensor


class ClipRecipe(Protocol):
    """What a recipe says of its clips."""

    @property
    def seed(self) -> int:
        """Of all random choices."""
        ...

    @property
    def batch_size(self) -> int:
        """Clips a step."""
        ...

    @property
    def crop(self) -> int:
        """Side of the clips as the networks see them, in pixels."""
        ...


@dataclass(frozen=True, eq=False)
class LabelledFrames:
    """Frames with masks of objects that are followed; what has no mask is background.

    Attributes
    ----------
    name
        Of the stack.
    times
        Which frames these are, F of them in order.
    images
        (F, 3, Y, X), normalised as MiVOS takes them.
    labels
        (F, Y, X); an object has the same label on all of them.
    clips
        Indices of three frames each that share an object, in order; where there is no
        third one the second comes twice.
    """

    name: str
    times: tuple[int, ...]
    images: NDArray[np.float16]
    labels: NDArray[np.uint16]
    clips: tuple[Triple, ...]

    @property
    def fingerprint(self) -> str:
        """Hash of all there is to learn from."""
        digest = hashlib.sha256(repr(self.times).encode())
        digest.update(self.images.tobytes())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()

    @cached_property
    def scale(self) -> float:
        """How much larger the engine sees these frames."""
        boxes = [box for each in self.labels for box in ndimage.find_objects(each) if box]
        sides = [np.sqrt(np.prod([part.stop - part.start for part in box])) for box in boxes]
        return scale_for(float(np.median(sides)))


def gather_labelled(frames: FrameStack, labels: Labels) -> LabelledFrames:
    """Read the labelled frames of a movie.

    Parameters
    ----------
    frames
        The images.
    labels
        (T, Y, X) integers: the user's masks, 0 on all frames without any.

    Raises
    ------
    FramesError
        If labels and images differ in shape, fewer than two frames are labelled, or no
        object is on two of them.
    """
    shape = (frames.n_frames, *frames.shape)
    if tuple(labels.shape) != shape:
        raise FramesError(
            f"The labels have shape {tuple(labels.shape)} and the images '{frames.name}' {shape}; "
            "expected the same (T, Y, X). Choose those of these images."
        )
    found = ((t, check_labels(np.asarray(labels[t]), t, "labels")) for t in range(shape[0]))
    by_frame = {t: each for t, each in found if each.any()}
    if len(by_frame) < 2:
        raise FramesError(
            f"{len(by_frame)} of the frames of '{frames.name}' have labels, and MiVOS learns how "
            "objects go from one frame to another. Label the same objects on two frames or more."
        )
    most = max(2, min(MOST_FRAMES, MOST_BYTES // (6 * shape[1] * shape[2])))
    spread = np.linspace(0, len(by_frame) - 1, min(most, len(by_frame))).astype(int)
    times = tuple(list(by_frame)[index] for index in spread)
    stack = np.stack([by_frame[t] for t in times])
    clips = _clips(times, stack)
    if not clips:
        raise FramesError(
            f"No object of {SMALLEST_AREA} pixels or more is on two labelled frames of "
            f"'{frames.name}'. Give an object the same label on all frames."
        )
    images = np.concatenate([normalized_image(frames, t).half().numpy() for t in times])
    return LabelledFrames(frames.name, times, images, stack, clips)


def _clips(times: tuple[int, ...], labels: NDArray[np.uint16]) -> tuple[Triple, ...]:
    """Return the clips; far frames are in them only where there is no nearer one."""
    objects = [_objects(each) for each in labels]

    def following(index: int, shared: set[int]) -> list[int]:
        found: list[int] = []
        for later in range(index + 1, len(times)):
            if found and times[later] - times[index] > LARGEST_GAP:
                break
            if shared & objects[later]:
                found.append(later)
        return found

    return tuple(
        (first, between, last)
        for first in range(len(times))
        for between in following(first, objects[first])
        for last in [between, *following(between, objects[first] & objects[between])]
    )


def _objects(labels: NDArray[np.uint16]) -> set[int]:
    """Return the labels with `SMALLEST_AREA` or more."""
    large = np.bincount(labels.ravel(), minlength=1) >= SMALLEST_AREA
    large[0] = False
    return set(np.flatnonzero(large).tolist())


def cut_clip(
    rng: np.random.Generator, known: LabelledFrames, triple: Triple, *, side: int
) -> Clips:
    """Cut one clip around an object that is on three frames.

    Parameters
    ----------
    rng
        Source of all choices: of the objects, of size and contrast, and of a turned or
        mirrored view.
    known, triple
        Where to cut, in this order.
    side
        Of the clip as the networks see it, S.
    """
    frames = list(triple)
    shared = set.intersection(*(_objects(known.labels[index]) for index in frames))
    around = int(rng.choice(sorted(shared)))
    sides = side / known.scale * np.exp(rng.normal(0, 0.1, 3))
    pixels = np.argwhere(known.labels[frames[0]] == around)
    middle = pixels[rng.integers(len(pixels))] + rng.uniform(-0.2, 0.2, 2) * sides[0]
    window = tuple(
        slice(max(0, int(at - sides[0] / 2)), max(0, int(at + sides[0] / 2))) for at in middle
    )
    others = sorted(shared & _objects(known.labels[frames[0]][window]) - {around})
    ids = [around, *rng.permutation(others)[: MOST_OBJECTS - 1].tolist()]
    drift = rng.normal(0, 0.02 * sides[0], (3, 2))
    places = torch.from_numpy(middle + drift).float(), torch.from_numpy(sides).float()
    masks = known.labels[frames][:, None] == np.array(ids)[:, None, None]
    images = torch.from_numpy(known.images[frames].astype(np.float32))
    seen = crop_windows(images, *places, size=side)
    inside = crop_windows(torch.from_numpy(masks.astype(np.float32)), *places, size=side) > 0.5
    inside = inside[:, inside[0].flatten(1).any(dim=1)]
    if not inside.shape[1]:  # as thin as a pixel, and lost between those of the clip
        return cut_clip(rng, known, triple, side=side)
    labels = (inside * torch.arange(1, inside.shape[1] + 1)[:, None, None]).sum(dim=1)
    seen = seen * float(np.exp(rng.normal(0, 0.1))) + float(rng.normal(0, 0.1))
    turns, mirrored = int(rng.integers(4)), bool(rng.random() < 0.5)
    seen, labels = (torch.rot90(part, turns, (-2, -1)) for part in (seen, labels))
    if mirrored:
        seen, labels = seen.flip(-1), labels.flip(-1)
    times = torch.tensor([known.times[index] for index in frames])
    return Clips(seen[None], labels[None], times[None])


class ClipStream(SeededStream[Clips]):
    """An endless stream of random batches, forward and backward in time.

    Parameters
    ----------
    known
        What to cut clips from.
    triples
        Which of its clips.
    recipe
        How.
    start
        Number of the first batch.
    """

    def __init__(
        self, known: LabelledFrames, triples: Sequence[Triple], recipe: ClipRecipe, start: int
    ) -> None:
        super().__init__(recipe.seed, start)
        self.known, self.triples, self.batch_size = known, triples, recipe.batch_size
        longest = max(known.labels.shape[1:]) * known.scale
        self.side = min(recipe.crop, int(longest)) // STRIDE * STRIDE or STRIDE

    def batch(self, rng: np.random.Generator) -> Clips:
        """Return one batch; see `SeededStream`."""
        clips = []
        for _ in range(self.batch_size):
            triple = self.triples[int(rng.integers(len(self.triples)))]
            if rng.random() < 0.5:
                last, between, first = triple
                triple = first, last if between == first else between, last
            clips.append(cut_clip(rng, self.known, triple, side=self.side))
        return Clips(*(torch.cat(part) for part in zip(*clips, strict=True)))

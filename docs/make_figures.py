"""Make the pictures of `mivos.md`: what fusion sees in a session, and what it makes of it.

Run `python docs/make_figures.py`. A simulated movie is propagated from its first frame,
then corrected on its last one. The picture is that of an object that lies within the frame,
where the two masks differ and fusion gains over both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage
from skimage import io

from napari_vos import FrameStack, Session
from napari_vos.engines import compact_span
from napari_vos.engines.compact_fusion import WindowFusion
from napari_vos.engines.places import crop, region_of
from napari_vos.simulation import sample

IMAGES = Path(__file__).with_name("images")
EVERY = 2
"""Every second frame of the movie, so that there is something to mend."""

INNER, MOST_OBJECTS = slice(60, -60), 8

ENLARGED = 3
OLD, NEW, FUSED = (255, 150, 0), (60, 150, 255), (90, 230, 90)
ADDED, REMOVED = (90, 230, 90), (255, 60, 200)


class Example(NamedTuple):
    """One window of one frame: arrays (S, S), but `changed` and `attention` (2, S, S)."""

    score: float
    corrected_image: Any
    changed: Any
    image: Any
    attention: Any
    old: Any
    new: Any
    fused: Any


class NotingFusion(WindowFusion):
    """Fusion that notes what it sees."""

    truth: Any
    examples: list[Example]

    def __init__(self, engine: Any, span: Any, evidence: Any, images: Callable[..., Any]) -> None:
        self.seen: dict[tuple[int, int], Any] = {}

        def note(t: int, places: Mapping[int, Any]) -> Any:
            found = images(t, places)
            self.seen.update({(t, i): image for i, image in found.items()})
            return found

        super().__init__(engine, span, evidence, note)

    def windows(self, t: int, new: Any, old: Any) -> Any:
        windows = super().windows(t, new, old)
        answers = self.engine.fuse([window for _, window in windows.values()])
        for (i, (place, window)), fused in zip(windows.items(), answers, strict=True):
            region = region_of(place, self.shape)
            mask = (self.truth[t][region.slices] == i).astype(np.float32)
            truth = crop(mask[None], region, place, outside="zeros")
            gain = jaccard(fused, truth) - max(
                jaccard(each, truth) for each in (window.old, window.new)
            )
            corrected_image = self.seen[self.span.start, i][0].numpy()
            whole = min((corrected_image != 0).mean(), (window.image[0] != 0).float().mean())
            self.examples.append(
                Example(
                    gain + 0.3 * (1 - jaccard(window.old, window.new)) + float(whole),
                    corrected_image,
                    self.changed[i].difference.numpy(),
                    window.image[0].numpy(),
                    window.attention.numpy(),
                    window.old[0].numpy(),
                    window.new[0].numpy(),
                    fused[0].numpy(),
                )
            )
        return windows


def jaccard(mask: Any, truth: Any) -> float:
    inside, known = mask > 0.5, truth > 0.5
    return float((inside & known).sum() / max(1, (inside | known).sum()))


def panel(image: Any, outlines: Mapping[tuple[int, ...], Any], tints: Mapping[Any, Any]) -> Any:
    """Return (S', S', 3) uint8: a window with outlines of masks and tints of maps."""
    grey = np.clip((image + 2) / 6, 0, 1)
    shown = np.repeat(ndimage.zoom(grey, ENLARGED, order=1)[..., None], 3, axis=2) * 255
    for colour, strength in tints.items():
        share = 0.8 * ndimage.zoom(strength, ENLARGED, order=1)[..., None].clip(0, 1)
        shown = (1 - share) * shown + share * np.array(colour)
    for colour, mask in outlines.items():
        inside = ndimage.zoom(mask, ENLARGED, order=1) > 0.5
        shown[inside ^ ndimage.binary_erosion(inside, iterations=2)] = colour
    return shown.astype(np.uint8)


def main() -> None:
    movie = sample("phase")
    images, labels = movie.images[::EVERY], movie.labels[::EVERY]
    ids = np.intersect1d(labels[0, INNER, INNER], labels[-1, INNER, INNER])[1 : MOST_OBJECTS + 1]
    labels = np.where(np.isin(labels, ids), labels, 0)
    NotingFusion.truth, NotingFusion.examples = labels, []
    compact_span.WindowFusion = NotingFusion
    with Session(FrameStack(images, axes="TYX")) as session:
        for t in (0, len(labels) - 1):
            session.add_mask(t, labels[t])
            session.run()
    example = max(NotingFusion.examples, key=lambda each: each.score)
    row = [
        panel(
            example.corrected_image, {}, dict(zip((ADDED, REMOVED), example.changed, strict=True))
        ),
        panel(example.image, {}, dict(zip((ADDED, REMOVED), example.attention, strict=True))),
        panel(example.image, {OLD: example.old, NEW: example.new}, {}),
        panel(example.image, {FUSED: example.fused}, {}),
    ]
    gap = np.full((row[0].shape[0], 6, 3), 255, np.uint8)
    IMAGES.mkdir(exist_ok=True)
    joined = [part for each in row for part in (each, gap)][:-1]
    io.imsave(IMAGES / "fusion.png", np.concatenate(joined, axis=1), check_contrast=False)


if __name__ == "__main__":
    main()

"""Make the picture of `mivos.md` that shows how memories are read.

Run `python docs/make_reading_figure.py`. One cell of a simulated movie is marked on the first frame
and propagated; for three places on a later frame it is shown where in the memories they are read.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from make_figures import FUSED, IMAGES, OLD, panel
from skimage import io
from skimage.measure import block_reduce, regionprops

from napari_vos import FrameStack, Session
from napari_vos.configs import CompactConfig
from napari_vos.networks import compact
from napari_vos.networks.compact import MEMORY_STRIDE, CompactNetwork
from napari_vos.simulation import sample

LAST, MEMORY_EVERY = 12, 5
PLACES = (255, 230, 60), (60, 220, 255), (255, 90, 200)


class NotingNetwork:
    """Notes what the compact network has remembered, read, and found last."""

    def __init__(self) -> None:
        self.memorized: list[tuple[Any, Any, Any]] = []
        self.readings: list[tuple[Any, Any]] = []
        self.answer: tuple[Any, Any] | None = None
        memorize, find, read = CompactNetwork.memorize, CompactNetwork.forward, compact.read_memory

        def note_memory(network: Any, image: Any, mask: Any, others: Any) -> Any:
            key, value = memorize(network, image, mask, others)
            self.memorized.append((key[0].clone(), image[0, 0].clone(), mask[0, 0].clone()))
            return key, value

        def note_reading(key: Any, value: Any, query: Any, *, top_k: int | None) -> Any:
            self.readings.append((key[0].clone(), query[0].clone()))
            return read(key, value, query, top_k=top_k)

        def note_answer(network: Any, image: Any, *seen: Any) -> Any:
            found = find(network, image, *seen)
            self.answer = image[0, 0].clone(), found.mask[0, 0].clone()
            return found

        CompactNetwork.memorize, CompactNetwork.forward = note_memory, note_answer
        compact.read_memory = note_reading

    def memories(self) -> list[tuple[Any, Any]]:
        """Return image and mask (S, S) of each window in memory, in the order of the keys."""
        key, query = self._long()
        windows = key.split(query.shape[1], dim=1)
        return [
            next((i.numpy(), m.numpy()) for k, i, m in self.memorized if torch.equal(k, window))
            for window in windows
        ]

    def _long(self) -> tuple[Any, Any]:
        """Return keys and queries of the last reading of the long past; the short one follows."""
        return self.readings[-2]

    def weights(self, place: tuple[int, int]) -> Any:
        """Return (M, S, S): how much is read from where, for a cell (row, column) of the frame."""
        key, query = self._long()
        side = math.isqrt(query.shape[1])
        affinity = query[:, place[0] * side + place[1]] @ key / math.sqrt(len(key))
        cells = affinity.softmax(dim=0).reshape(-1, side, side).numpy()
        return np.kron(cells, np.ones((MEMORY_STRIDE, MEMORY_STRIDE)))


def chosen_cells(mask: Any) -> list[tuple[int, int]]:
    """Return (row, column) of three cells of a mask (S, S): at both of its ends and between."""
    shares = block_reduce(mask, MEMORY_STRIDE, np.mean)
    cells = np.argwhere(shares > 0.5)
    centred = cells - cells.mean(axis=0)
    along = centred @ np.linalg.svd(centred)[2][0]
    between = np.linalg.norm(centred, axis=1)
    ends = along.argmin(), along.argmax(), between.argmin()
    return [(int(row), int(column)) for row, column in cells[list(ends)]]


def main() -> None:
    movie = sample("phase")
    whole = regionprops(movie.labels[0, 60:-60, 60:-60])
    chosen = min((each for each in whole if each.area > 300), key=lambda each: each.solidity).label
    noted = NotingNetwork()
    config = CompactConfig(memory_every=MEMORY_EVERY)
    with Session(FrameStack(movie.images[: LAST + 1], axes="TYX"), config=config) as session:
        session.add_mask(0, np.where(movie.labels[0] == chosen, movie.labels[0], 0))
        session.run()
    image, mask = (part.numpy() for part in noted.answer)
    places = chosen_cells(mask)
    cells = np.zeros((len(places), len(mask), len(mask)))
    for cell, (row, column) in zip(cells, places, strict=True):
        top, left = row * MEMORY_STRIDE, column * MEMORY_STRIDE
        cell[top : top + MEMORY_STRIDE, left : left + MEMORY_STRIDE] = 1
    read = [noted.weights(place) for place in places]
    strengths = np.stack([weights / weights.max() for weights in read], axis=1)
    shown = [
        panel(window, {OLD: known}, dict(zip(PLACES, strength, strict=True)))
        for (window, known), strength in zip(noted.memories(), strengths, strict=True)
    ]
    shown += [panel(image, {}, dict(zip(PLACES, cells, strict=True)))]
    shown += [panel(image, {FUSED: mask}, {})]
    gap = np.full((len(shown[0]), 6, 3), 255, np.uint8)
    joined = [part for each in shown for part in (each, gap)][:-1]
    io.imsave(IMAGES / "reading.png", np.concatenate(joined, axis=1), check_contrast=False)


if __name__ == "__main__":
    main()

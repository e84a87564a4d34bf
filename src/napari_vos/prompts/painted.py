"""Scribbles that were painted as labels, as strokes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_vos.prompts.drawn import ScribblePrompt, scribble_prompt

if TYPE_CHECKING:
    from numpy.typing import NDArray


def painted_scribbles(
    t: int, labels: NDArray[np.generic], *, negative: dict[int, int] | None = None
) -> tuple[ScribblePrompt, ...]:
    """Return painted pixels as scribbles that cover the very same pixels.

    Parameters
    ----------
    t
        Frame index.
    labels
        (Y, X) integers: the object whose stroke lies there, 0 where nothing was painted.
    negative
        The object that a label is no part of, by label; other labels are objects.

    Raises
    ------
    PromptError
        If a label is no object id.
    """
    negative = negative or {}
    prompts = [
        scribble_prompt(
            t,
            negative.get(label, label),
            _runs(labels == label),
            width=1,
            positive=label not in negative,
        )
        for label in np.unique(labels[labels != 0]).tolist()
    ]
    # What was painted covers no pixel twice, and yet negative ones come last as everywhere.
    return tuple(sorted(prompts, key=lambda prompt: not prompt.positive))


def _runs(mask: NDArray[np.bool_]) -> list[list[tuple[float, float]]]:
    """Return a (Y, X) mask as horizontal strokes, each from its first to its last pixel."""
    edges = np.diff(mask.astype(np.int8), axis=1, prepend=0, append=0)
    firsts, lasts = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return [
        [(row, first), (row, last - 1)]
        for (row, first), (_, last) in zip(firsts.tolist(), lasts.tolist(), strict=True)
    ]

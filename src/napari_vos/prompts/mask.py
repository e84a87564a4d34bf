"""Painted masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_vos.errors import PromptError
from napari_vos.prompts.ids import MAX_OBJECT_ID

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class MaskPrompt:
    """The masks of some objects on one frame.

    Attributes
    ----------
    t
        Frame index.
    labels
        (Y, X) uint16, read-only; 0 where nothing was said.
    object_ids
        The objects this prompt speaks about, ascending. An id without a pixel
        in `labels` is said to be gone on this frame.
    complete
        Every known object that is not in `labels` is gone on this frame.
        Otherwise absence means *not said*.
    """

    t: int
    labels: NDArray[np.uint16]
    object_ids: tuple[int, ...]
    complete: bool = False


def mask_prompt(t: int, labels: ArrayLike, *, complete: bool = False) -> MaskPrompt:
    """Check a painted frame and freeze it.

    Parameters
    ----------
    t
        Frame index.
    labels
        (Y, X), any integer or boolean dtype; 0 is background.
    complete
        See `MaskPrompt.complete`.

    Raises
    ------
    PromptError
        If `labels` isn't two-dimensional, holds fractions, negative values or
        ids above 65535, or is empty.
    """
    array = np.asarray(labels)
    if array.ndim != 2:
        raise PromptError(
            f"The prompt on frame {t} has shape {array.shape}; expected one frame (Y, X)."
        )
    if array.dtype == np.bool_:
        array = array.astype(np.uint16)
    if not np.issubdtype(array.dtype, np.integer):
        if not np.isfinite(array).all() or (array != np.floor(array)).any():
            raise PromptError(
                f"The prompt on frame {t} holds fractions or NaN ({array.dtype}); "
                "expected integer labels. Convert the layer to labels first."
            )
        array = array.astype(np.int64)
    lowest, highest = int(array.min(initial=0)), int(array.max(initial=0))
    if lowest < 0:
        raise PromptError(
            f"The prompt on frame {t} holds the negative label {lowest}; "
            "expected 0 for background and object ids from 1."
        )
    if highest > MAX_OBJECT_ID:
        raise PromptError(
            f"The prompt on frame {t} holds the object id {highest}; the largest one "
            f"possible is {MAX_OBJECT_ID}. Give this object a smaller id."
        )
    if highest == 0:
        raise PromptError(f"The prompt on frame {t} is empty. Paint at least one object on it.")
    frozen = array.astype(np.uint16)
    frozen.setflags(write=False)
    object_ids = tuple(int(i) for i in np.unique(frozen) if i)
    return MaskPrompt(int(t), frozen, object_ids, complete)

"""Rendering a coarse prediction: enlarge it, and predict anew where it is uncertain.

Kirillov et al., CVPR 2020, section 3.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.nn import functional

from napari_vos.networks.pointrend.points import most_uncertain_cells, sample_points

if TYPE_CHECKING:
    from torch import Tensor

    from napari_vos.networks.pointrend.head import Head


@dataclass(frozen=True)
class Form:
    """In what two published versions of PointRend differ.

    Attributes
    ----------
    n_points
        Points predicted anew in a step.
    align_corners
        Whether enlarging maps corner pixels to corner pixels.
    coarse_is_refined
        Whether the coarse prediction at a point is that of the refined map so
        far, instead of the one that refinement began with.
    skip_whole_grids
        Whether a step is skipped that would predict every cell anew, unless it
        is the last one.
    """

    n_points: int
    align_corners: bool
    coarse_is_refined: bool
    skip_whole_grids: bool


SINGLE_LAYER = Form(8096, align_corners=True, coarse_is_refined=True, skip_whole_grids=False)
"""Goes with `PointHead`."""

REFERENCE = Form(8192, align_corners=False, coarse_is_refined=False, skip_whole_grids=True)
"""Of the paper's authors; goes with `LayeredPointHead`."""


def subdivide(
    coarse: Tensor, fine: Tensor, head: Head, sizes: Iterable[tuple[int, int]], form: Form
) -> Tensor:
    """Render a coarse prediction at the last of `sizes`.

    Parameters
    ----------
    coarse
        Logits (B, C, h, w).
    fine
        Features (B, D, h', w') of the same frame.
    head
        Predicts at points.
    sizes
        (height, width) after each step: `doublings`, or `halvings` to end at
        any size.
    form
        Which version.

    Returns
    -------
    Tensor
        Logits (B, C, height, width).
    """
    refined = coarse
    steps = list(sizes)
    for number, (height, width) in enumerate(steps, start=1):
        refined = functional.interpolate(
            refined, size=(height, width), mode="bilinear", align_corners=form.align_corners
        )
        if form.skip_whole_grids and form.n_points >= height * width and number < len(steps):
            continue
        cells, points = most_uncertain_cells(refined, form.n_points)
        known = refined if form.coarse_is_refined else coarse
        logits = head(sample_points(known, points), sample_points(fine, points))
        cells = cells[:, None].expand_as(logits)
        refined = refined.flatten(2).scatter(2, cells, logits).reshape_as(refined)
    return refined


def doublings(shape: tuple[int, int], steps: int) -> Iterator[tuple[int, int]]:
    """Yield the sizes of a fixed number of steps that double (height, width) each."""
    height, width = shape
    for step in range(1, steps + 1):
        yield height << step, width << step


def halvings(shape: tuple[int, int], target: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the sizes of steps from `shape` to `target`, whatever their ratio.

    They are those of `target` halved again and again, rounded up, as long as
    they are larger than `shape`; doublings where the ratio is a power of two.
    The published loop doubles until widths are equal, and never ends for
    other ratios.
    """
    sizes = [target]
    while (half := _halved(sizes[0])) != sizes[0] and any(
        side > known for side, known in zip(half, shape, strict=True)
    ):
        sizes.insert(0, half)
    return sizes


def _halved(size: tuple[int, int]) -> tuple[int, int]:
    height, width = size
    return (height + 1) // 2, (width + 1) // 2

"""What a round will take, said before it starts."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tqdm import tqdm

from napari_vos.errors import DeviceError
from napari_vos.session.spans import n_frames_of, sized
from napari_vos.store.files import reported

if TYPE_CHECKING:
    from napari_vos.engines.base import Propagator
    from napari_vos.session.ledger import Ledger
    from napari_vos.session.spans import Leg

_BYTES_PER_PIXEL = 2
_WINDOW_MARGIN = 4
"""A propagated window has about this many times the area of the mask's box."""
_LABELS_SHRINK = 50
"""Labels shrink about this much when they are compressed."""


@dataclass(frozen=True)
class RoundEstimate:
    """What a round will take.

    Attributes
    ----------
    memory
        Peak bytes on the device (in host memory if the device is the CPU).
    seconds
        Time for all frames.
    object_frames
        Number of (object, frame) pairs to predict; 0 if nothing is pending.
    disk
        Bytes the session's folder will grow by, roughly.
    free_disk
        Bytes free on that disk.
    memory_limit
        Bytes that `memory` should stay within: those free on the device, or the
        user's budget if that is less.
    n_objects, object_memory
        See `napari_vos.engines.base.Estimate`.
    """

    memory: int
    seconds: float
    object_frames: int
    disk: int
    free_disk: int
    memory_limit: int = 0
    n_objects: int = 0
    object_memory: int = 0

    def __str__(self) -> str:
        """Return a line such as "580 masks: about 00:09 and 400 MB of memory"."""
        duration = tqdm.format_interval(self.seconds)
        return (
            f"{self.object_frames} masks: about {duration} and {self.memory / 1e6:.0f} MB of memory"
        )

    def refuse_too_many_objects(self) -> None:
        """Raise if the engine holds all objects at once, and they don't fit the memory.

        Raises
        ------
        DeviceError
            Says how many would.
        """
        excess = self.memory - self.memory_limit
        if excess <= 0 or not self.object_memory:
            return
        fitting = max(0, self.n_objects - math.ceil(excess / self.object_memory))
        raise DeviceError(
            f"{self.n_objects} objects at once take about {self.memory / 1e6:.0f} MB of memory, "
            f"and {self.memory_limit / 1e6:.0f} MB may be used: {fitting or 'none'} would fit. "
            "Mark fewer objects, allow more memory, or choose the engine 'compact', which needs "
            "little for each."
        )


def estimate_round(
    ledger: Ledger, legs: Sequence[Leg], propagator: Propagator | None, memory_bytes: int | None
) -> RoundEstimate:
    """Return what running `legs` will take.

    Parameters
    ----------
    ledger
        The session.
    legs
        What is pending.
    propagator
        The engine; None if nothing is pending.
    memory_bytes
        The user's budget, if there is one.
    """
    with reported(ledger.folder.path, "read"):
        free = shutil.disk_usage(ledger.folder.path).free
    if propagator is None or not legs:
        return RoundEstimate(0, 0.0, 0, 0, free)
    ours = propagator.estimate(
        [sized(leg.span, ledger.index(leg.span.start).entries) for leg in legs]
    )
    areas = [
        entry.box.shape[0] * entry.box.shape[1]
        for t in {leg.span.start for leg in legs}
        for entry in ledger.index(t).entries.values()
    ]
    window = _WINDOW_MARGIN * _BYTES_PER_PIXEL * sum(areas) // max(1, len(areas))
    labels = _BYTES_PER_PIXEL * ledger.shape[0] * ledger.shape[1] // _LABELS_SHRINK
    # Labels lie there twice: in the version and in the array that is shown.
    disk = ours.object_frames * window + n_frames_of(legs) * 2 * labels
    limit = _free_memory(propagator)
    if memory_bytes is not None:
        limit = min(limit, memory_bytes)
    return RoundEstimate(
        ours.memory,
        ours.seconds,
        ours.object_frames,
        disk,
        free,
        limit,
        ours.n_objects,
        ours.object_memory,
    )


def _free_memory(propagator: Propagator) -> int:
    # Here and not above, since it loads torch.
    from napari_vos.device import choose_device, free_memory

    return free_memory(choose_device(str(propagator.plan["device"])))

"""What every engine's plan says: the weights and the machine it ran with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_vos import checkpoints
from napari_vos.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def check_weights(name: str, path: Path, plan: Mapping[str, object] | None, key: str) -> str:
    """Return the hash of a weights file.

    Parameters
    ----------
    name
        What the weights are called to the user.
    path
        The file.
    plan
        Of an earlier run that is to be repeated, or None.
    key
        Under which the plan keeps the hash.

    Raises
    ------
    WeightsError
        If the plan was made with other weights.
    """
    sha256 = checkpoints.sha256_of(path)
    if plan is not None and plan.get(key) != sha256:
        raise WeightsError(
            f"This run was made with the {name} weights {str(plan.get(key))[:12]}…, "
            f"but {path} has {sha256[:12]}…. Name the weights file it was made with."
        )
    return sha256


def machine(device: torch.device, dtype: torch.dtype) -> dict[str, object]:
    """Return what a plan says of the machine: device, precision, threads and version of torch."""
    return {
        "device": str(device),
        "precision": str(dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }

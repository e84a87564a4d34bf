"""Where to compute, and how exactly."""

from __future__ import annotations

import psutil
import torch

from napari_vos.errors import DeviceError

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "float16", "bfloat16")


def choose_device(name: str) -> torch.device:
    """Return the device of that name; "auto" takes an accelerator if there is one.

    Raises
    ------
    DeviceError
        If the name is unknown or this machine has no such device.
    """
    kind = name.split(":")[0]
    if kind not in DEVICES:
        raise DeviceError(f"Unknown device {name!r}; expected one of {', '.join(DEVICES)}.")
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if kind == "auto":
        kind = next(candidate for candidate in ("cuda", "mps", "cpu") if there[candidate])
        return torch.device(kind)
    if not there[kind]:
        raise DeviceError(
            f"Device {name!r} isn't available on this machine. Choose 'auto' or 'cpu'."
        )
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype of the networks' arithmetic; "auto" is float16 on CUDA, else float32.

    Raises
    ------
    DeviceError
        If the name is unknown, or float16 is asked for on a CPU.
    """
    if name not in PRECISIONS:
        raise DeviceError(f"Unknown precision {name!r}; expected one of {', '.join(PRECISIONS)}.")
    if name == "auto":
        name = "float16" if device.type == "cuda" else "float32"
    if name == "float16" and device.type == "cpu":
        raise DeviceError(
            "Precision 'float16' isn't supported on the CPU. Choose 'auto' or 'float32'."
        )
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def free_memory(device: torch.device) -> int:
    """Return the bytes that can still be allocated on `device`."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    return int(psutil.virtual_memory().available)

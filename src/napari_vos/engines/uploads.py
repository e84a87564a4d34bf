"""Sending tensors to the device, on CUDA while it is at work on others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


class Uploads:
    """The way of tensors to a device.

    On CUDA they go from pinned memory on a stream of their own, and one can be
    sent ahead by name.

    Parameters
    ----------
    device
        Where they go.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._ahead: tuple[str, Tensor] | None = None

    @property
    def are_ahead(self) -> bool:
        """Whether it is worth sending anything ahead."""
        return self._stream is not None

    def begin(self, name: str, tensor: Tensor) -> None:
        """Send a tensor ahead; one that was sent and not taken is forgotten."""
        with torch.cuda.stream(self._stream):
            self._ahead = name, tensor.pin_memory().to(self._device, non_blocking=True)

    def take(self, name: str) -> Tensor | None:
        """Return the tensor that was sent ahead by that name, if one was."""
        if self._stream is None or self._ahead is None or self._ahead[0] != name:
            return None
        tensor, self._ahead = self._ahead[1], None
        working = torch.cuda.current_stream(self._device)
        working.wait_stream(self._stream)
        # Its memory mustn't be given away before the work on it is done.
        tensor.record_stream(working)
        return tensor

    def send(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the device."""
        return tensor.to(self._device)

"""Weights files: which ones there are, what a file holds, and strict loading."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from napari_vos.errors import WeightsError
from napari_vos.networks.compact import CompactNetwork

if TYPE_CHECKING:
    from torch import Tensor, nn

WRAPPERS = ("state_dict", "model", "network")
"""Keys under which training scripts wrap a state dict."""

NETWORKS: dict[str, type[nn.Module]] = {"compact": CompactNetwork}
"""Networks whose weights can be recognised, by name."""


@dataclass(frozen=True)
class WeightsEntry:
    """Weights that come with the package.

    Attributes
    ----------
    name
        Of the weights.
    network
        Which network they are for.
    path
        The file.
    card
        What they were made with: data, recipe, licence, figures.
    """

    name: str
    network: str
    path: Path
    card: Mapping[str, Any]


@dataclass(frozen=True)
class Identification:
    """What a weights file holds.

    Attributes
    ----------
    path
        The file.
    network
        Name of the network whose keys fit best.
    sha256
        Of the file.
    missing, unexpected, mismatched
        Keys; all empty if the file fits exactly.
    """

    path: Path
    network: str
    sha256: str
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether the file can be loaded."""
        return not (self.missing or self.unexpected or self.mismatched)


def registered() -> tuple[WeightsEntry, ...]:
    """List the weights that come with the package."""
    folder = Path(str(resources.files("napari_vos") / "weights"))
    entries = []
    for path in sorted(folder.glob("*.safetensors")):
        card = json.loads(path.with_suffix(".json").read_text())
        entries.append(WeightsEntry(path.stem, card["network"], path, card))
    return tuple(entries)


def resolve(weights: str | Path | None, network: str) -> Path:
    """Return the file meant by a path, a registered name, or None for the shipped weights.

    Raises
    ------
    WeightsError
        If there is no such file or name.
    """
    wanted = network if weights is None else str(weights)
    for entry in registered():
        if entry.name == wanted:
            return entry.path
    if weights is not None and Path(weights).is_file():
        return Path(weights)
    names = ", ".join(entry.name for entry in registered())
    raise WeightsError(f"No weights {wanted!r}: expected a file or one of: {names}.")


def sha256_of(path: Path) -> str:
    """Return the hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read tensors by key from safetensors or a pickle of tensors alone.

    A wrapper with optimiser state around and a `module.` prefix are taken off.

    Raises
    ------
    WeightsError
        If the file is missing, damaged, or holds anything but tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"There is no weights file {path}.") from None
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} isn't a file of plain tensors, so it isn't opened: "
            "unpickling it could run code. Convert it where you trust it."
        ) from error
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{path} can't be read as weights; it may be damaged: {first_line}"
        ) from error
    while isinstance(content, Mapping):
        inner = next((key for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = content[inner]
    if not isinstance(content, Mapping) or not all(
        isinstance(key, str) and torch.is_tensor(value) for key, value in content.items()
    ):
        raise WeightsError(f"{path} holds no state dict of tensors.")
    return {key.removeprefix("module."): value for key, value in content.items()}


@cache
def _expected_shapes(network: str) -> Mapping[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in NETWORKS[network]().state_dict().items()}


def identify(path: str | Path) -> Identification:
    """Say which network a file is for, and what doesn't fit.

    Raises
    ------
    WeightsError
        If the file can't be read, or shares no key with any network.
    """
    path = Path(path)
    found = {key: tuple(value.shape) for key, value in read_state_dict(path).items()}
    shared = {name: len(found.keys() & _expected_shapes(name).keys()) for name in NETWORKS}
    network = max(shared, key=lambda name: shared[name])
    if shared[network] == 0:
        raise WeightsError(
            f"{path} holds weights of no known network: {len(found)} keys such as "
            f"{', '.join(list(found)[:3])}. Known networks: {', '.join(NETWORKS)}."
        )
    expected = _expected_shapes(network)
    return Identification(
        path,
        network,
        sha256_of(path),
        missing=tuple(sorted(expected.keys() - found.keys())),
        unexpected=tuple(sorted(found.keys() - expected.keys())),
        mismatched=tuple(
            sorted(k for k in expected.keys() & found.keys() if expected[k] != found[k])
        ),
    )


def load_network(network: str, path: Path) -> nn.Module:
    """Return the network with the weights of a file, in float32 and evaluation mode.

    Raises
    ------
    WeightsError
        If the file isn't for this network; names what is missing and unexpected.
    """
    identification = identify(path)
    if identification.network != network or not identification.fits:
        raise WeightsError(
            f"{path} doesn't fit the {network} network: "
            + "; ".join(
                f"{len(keys)} {kind} keys such as {keys[0]}"
                for kind, keys in (
                    ("missing", identification.missing),
                    ("unexpected", identification.unexpected),
                    ("differently shaped", identification.mismatched),
                )
                if keys
            )
        )
    module = NETWORKS[network]()
    module.load_state_dict(
        {
            key: value.float() if value.is_floating_point() else value
            for key, value in read_state_dict(path).items()
        }
    )
    return module.eval()

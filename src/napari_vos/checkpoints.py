"""Weights files: which ones there are, what a file holds, and strict loading."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

from napari_vos.errors import WeightsError
from napari_vos.networks.compact import CompactNetwork
from napari_vos.networks.compact_fusion import CompactFusionNetwork
from napari_vos.networks.interaction import InteractionNetwork
from napari_vos.networks.mast import Mast, MastSmall
from napari_vos.networks.mivos import FusionNetwork, PropagationNetwork, ScribbleToMaskNetwork
from napari_vos.networks.pointrend import PointHead, SemanticPointRend, layers_of
from napari_vos.networks.refinement import RefinementNetwork
from napari_vos.networks.yolact import CELLS, DESIGNS, Design, Yolact

if TYPE_CHECKING:
    from torch import Tensor, nn

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "compact": CompactNetwork,
    "compact_fusion": CompactFusionNetwork,
    "mivos_propagation": PropagationNetwork,
    "mivos_fusion": FusionNetwork,
    "mivos_scribble": ScribbleToMaskNetwork,
    "mast": Mast,
    "mast_small": MastSmall,
    "pointrend": SemanticPointRend,
    "pointrend_head": PointHead,
    "refinement": RefinementNetwork,
    "interaction": InteractionNetwork,
    **{f"yolact_{name}": partial(Yolact, design) for name, design in DESIGNS.items()},
    "cells": partial(Yolact, design=CELLS, n_classes=2),
}
"""Networks whose weights can be recognised, by name."""

SURPLUS = {"yolact": re.compile(r"backbone\.layer\d|fpn\.downsample_layers\.\d")}
"""Keys that old files of a family hold beside those of the network; they are left out."""

DESIGN = "design"
"""Under which a file of "cells" says of what design its network is."""

COUNTER = "num_batches_tracked"
"""How keys end that old files lack and that only training reads."""


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
        return not self.misfit

    @property
    def misfit(self) -> str:
        """What doesn't fit, in words; empty if nothing."""
        return ", ".join(
            f"{len(keys)} {kind} (such as {', '.join(keys[:3])})"
            for kind, keys in (
                ("missing", self.missing),
                ("unexpected", self.unexpected),
                ("of another shape", self.mismatched),
            )
            if keys
        )


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


def content_of(weights: str | Path | None) -> str | None:
    """Return the hash of a weights file; None if the name is another one.

    Trained again into the same folder, a file has other weights under the same name.
    """
    return None if weights is None or not Path(weights).is_file() else sha256_of(Path(weights))


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
            f"{path} is damaged, or holds more than plain tensors: that isn't opened, because "
            "unpickling it could run code. Get the file again, or take the tensors out of it "
            "where you trust it."
        ) from error
    except Exception as error:  # a damaged pickle can raise anything
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{path} can't be read as weights; it may be damaged: {first_line}"
        ) from error
    wrapped = [content, *content.values()] if isinstance(content, Mapping) else []
    state = max(filter(_is_state_dict, wrapped), key=len, default=None)
    if state is None:
        raise WeightsError(f"{path} holds no state dict of tensors.")
    return {key.removeprefix("module."): value.detach() for key, value in state.items()}


def _is_state_dict(content: object) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(key, str) and torch.is_tensor(v) for key, v in content.items())
    )


def _expected_shapes(
    network: str, path: Path, state: Mapping[str, Tensor]
) -> Mapping[str, tuple[int, ...]]:
    return _shapes(network, **_options(network, path, state))


@cache
def _shapes(network: str, **options: Any) -> Mapping[str, tuple[int, ...]]:
    keys = _without_values(network, **options).state_dict()
    return {key: tuple(value.shape) for key, value in keys.items()}


def _without_values(network: str, **options: Any) -> nn.Module:
    with torch.device("meta"):
        return NETWORKS[network](**options)


def _options(network: str, path: Path, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what is free in a network and follows from its file: design, classes, layers."""
    if network == "cells":
        about = _metadata(path)
        return {"design": _read_design(path, about[DESIGN])} if DESIGN in about else {}
    if network.startswith("yolact_") and "semantic_seg_conv.bias" in state:
        return {"n_classes": state["semantic_seg_conv.bias"].numel() + 1}
    if network == "pointrend" and "head.mlp.bias" in state:
        return {"classes": state["head.mlp.bias"].numel(), "layers": layers_of(state)}
    if network == "pointrend_head" and "mlp.weight" in state and state["mlp.weight"].ndim == 3:
        classes, inputs, _ = state["mlp.weight"].shape
        return {"inputs": inputs, "classes": classes}
    return {}


def _metadata(path: Path) -> Mapping[str, str]:
    """Return what a weights file says beside its tensors."""
    if path.suffix != ".safetensors":
        return {}
    with safe_open(path, "pt") as file:
        return file.metadata() or {}


def _read_design(path: Path, text: str) -> Design:
    try:
        return Design.from_json(text)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise WeightsError(
            f"{path} is of a design that this version doesn't know: {error}. Make it again, or "
            "use the version that made it."
        ) from error


def identify(path: str | Path) -> Identification:
    """Say which network a file is for, and what doesn't fit.

    Raises
    ------
    WeightsError
        If the file can't be read, or shares no key with any network.
    """
    path = Path(path)
    return _identify(path, read_state_dict(path))


def _identify(path: Path, state: Mapping[str, Tensor]) -> Identification:
    expected_of = {name: _expected_shapes(name, path, state) for name in NETWORKS}
    shared = {name: state.keys() & shapes.keys() for name, shapes in expected_of.items()}
    fitting = {
        name: sum(expected_of[name][key] == state[key].shape for key in keys)
        for name, keys in shared.items()
    }
    # Narrower and wider networks have the same keys; deeper ones have those of shallower ones.
    network = max(
        NETWORKS, key=lambda name: (len(shared[name]), fitting[name], -len(expected_of[name]))
    )
    if not shared[network]:
        raise WeightsError(
            f"{path} holds weights of no known network: {len(state)} keys such as "
            f"{', '.join(list(state)[:3])}. Known networks: {', '.join(NETWORKS)}."
        )
    expected = expected_of[network]
    surplus = SURPLUS.get(network.partition("_")[0])
    return Identification(
        path,
        network,
        sha256_of(path),
        missing=tuple(k for k in expected if k not in state and not k.endswith(COUNTER)),
        unexpected=tuple(
            k for k in state if k not in expected and not (surplus and surplus.match(k))
        ),
        mismatched=tuple(k for k in expected if k in state and expected[k] != state[k].shape),
    )


def _read_fitting(path: Path, network: str | None) -> tuple[Identification, dict[str, Tensor]]:
    """Read weights that fit `network`, or any known one if it is None."""
    state = read_state_dict(path)
    found = _identify(path, state)
    if found.network != (network or found.network):
        raise WeightsError(
            f"{path} holds weights of the network {found.network}, and those of {network} are "
            "wanted. Choose another file."
        )
    if not found.fits:
        raise WeightsError(
            f"{path} is for the network {found.network} and doesn't fit it: {found.misfit}. "
            "Choose weights of this network."
        )
    expected = _expected_shapes(found.network, path, state)
    counters = {key: torch.tensor(0) for key in expected if key.endswith(COUNTER)}
    return found, counters | {key: value for key, value in state.items() if key in expected}


def load_network(network: str, path: Path) -> nn.Module:
    """Return the network with the weights of a file, in float32 and evaluation mode.

    Raises
    ------
    WeightsError
        If the file isn't for this network; names what is missing and unexpected.
    """
    _, state = _read_fitting(path, network)
    module = _without_values(network, **_options(network, path, state))
    module.load_state_dict(
        {
            key: value.float() if value.is_floating_point() else value
            for key, value in state.items()
        },
        assign=True,
    )
    return module.eval()


def convert(source: Path, target: Path) -> Identification:
    """Write the weights of a file to safetensors, in the precision they have.

    Returns
    -------
    Identification
        Of `source`.

    Raises
    ------
    WeightsError
        If the file fits no known network.
    OSError
        If `target` can't be written.
    """
    found, state = _read_fitting(source, None)
    tensors = {key: value.clone().contiguous() for key, value in state.items()}
    target.write_bytes(save(tensors, metadata=dict(_metadata(source)) or None))
    return found

"""The engines of a session: how they are chosen, made on first use, and made again."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from napari_vos.engines.base import Detector, Interactor, Propagator
    from napari_vos.frames import FrameStack

LARGEST_TILE, SMALLEST_TILE = 1024, 256
"""Sides of the tiles that are tried where whole frames take too much memory."""


@dataclass(frozen=True)
class EngineChoice:
    """What the user asks for.

    Attributes
    ----------
    name
        "compact", ...
    config
        The engine's configuration, an instance of its dataclass in
        `napari_vos.configs`; None for the default.
    weights
        A file or a registered name; None for the shipped weights.
    device, precision
        As the engine takes them; "auto" leaves the choice to it.
    """

    name: str = "compact"
    config: object | None = None
    weights: str | Path | None = None
    device: str = "auto"
    precision: str = "auto"

    @property
    def _details(self) -> dict[str, Any]:
        return {
            "config": self.config,
            "weights": self.weights,
            "device": self.device,
            "precision": self.precision,
        }

    def create(self, frames: FrameStack, *, plan: Mapping[str, object] | None = None) -> Propagator:
        """Return the engine; with `plan` the one that an earlier round has used."""
        # Here and not above, since engines load torch.
        from napari_vos.engines import create_propagator

        return create_propagator(self.name, frames, plan=plan, **self._details)

    def create_interactor(self, frames: FrameStack) -> Interactor:
        """Return the interactor of that name."""
        from napari_vos.engines import create_interactor

        return create_interactor(self.name, frames, **self._details)

    def create_detector(self, frames: FrameStack) -> Detector:
        """Return the detector of that name."""
        from napari_vos.engines import create_detector

        return create_detector(self.name, frames, **self._details)

    def within(self, folder: Path) -> EngineChoice:
        """Return this choice with the path of its weights if they lie in a session's folder."""
        if self.weights is None or not (folder / self.weights).is_file():
            return self
        return replace(self, weights=folder / self.weights)

    def to_json(self) -> dict[str, Any]:
        """Return this choice ready for session.json."""
        config = None
        if is_dataclass(self.config) and not isinstance(self.config, type):
            config = {"type": type(self.config).__name__, "fields": asdict(self.config)}
        return {
            "name": self.name,
            "config": config,
            "weights": None if self.weights is None else str(self.weights),
            "device": self.device,
            "precision": self.precision,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> EngineChoice:
        """Return the choice that `to_json` wrote."""
        config = fields["config"]
        if config is not None:
            configs = importlib.import_module("napari_vos.configs")
            config = getattr(configs, config["type"])(**config["fields"])
        return cls(**{**fields, "config": config})


def with_less_memory(plan: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return an engine's plan that takes less memory; None if it can't.

    What is kept only to be faster goes first, then batches become half as large,
    then tiles; at last frames aren't enlarged, unless the user has said how much.
    """
    config = plan["config"]
    if config.get("memory_profile", 3) != 3:
        less: dict[str, object] = {"memory_profile": 3}
    elif config.get("cache_megabytes", 0) > 0:
        less = {"cache_megabytes": config["cache_megabytes"] // 4}
    elif config.get("batch_size", 1) > 1:
        less = {"batch_size": config["batch_size"] // 2}
    elif config.get("tile_side", 0) is None:
        less = {"tile_side": LARGEST_TILE}
    elif config.get("tile_side", 0) > SMALLEST_TILE:
        less = {"tile_side": config["tile_side"] // 2}
    elif config.get("working_scale") == "auto":
        less = {"working_scale": 1.0}
    else:
        return None
    return {**plan, "config": {**config, **less}}


def plan_of(engine: Propagator | Interactor | Detector) -> dict[str, Any]:
    """Return an engine's plan as it looks when it is read back from the journal."""
    plan: dict[str, Any] = json.loads(json.dumps(dict(engine.plan)))
    return plan

"""What a session's folder says of how to go on: engine, interactor, and what to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_vos.session.engine import EngineChoice
from napari_vos.session.interaction import INTERACTOR
from napari_vos.session.spans import Reach


@dataclass(frozen=True)
class SessionSettings:
    """What the user has chosen for a session.

    Attributes
    ----------
    engine
        What propagates.
    interactor
        What makes masks of what is drawn.
    reach
        What the latest round was asked to run.
    """

    engine: EngineChoice
    interactor: EngineChoice = field(default_factory=lambda: EngineChoice(INTERACTOR))
    reach: Reach = field(default_factory=Reach)

    def to_json(self) -> dict[str, Any]:
        """Return this ready for session.json."""
        return {
            "engine": self.engine.to_json(),
            "interactor": self.interactor.to_json(),
            "reach": self.reach.to_json(),
        }

    @classmethod
    def from_json(cls, about: Mapping[str, Any]) -> SessionSettings:
        """Return what session.json says; older ones don't name all of it."""
        engine = EngineChoice.from_json(about["engine"])
        default = cls(engine).to_json()
        interactor = EngineChoice.from_json(about.get("interactor", default["interactor"]))
        return cls(engine, interactor, Reach.from_json(about.get("reach", default["reach"])))

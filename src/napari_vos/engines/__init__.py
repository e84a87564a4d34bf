"""Engines: inference over a frame stack, by name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari_vos.errors import NapariVosError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_vos.engines.base import Detector, Interactor, Propagator
    from napari_vos.frames import FrameStack

PROPAGATORS = ("compact", "mivos", "mast")
"""Names `create_propagator` knows."""

PUBLISHED = {
    "mivos": "https://github.com/hkchengrex/MiVOS",
    "mast": "https://github.com/zlai0/MAST",
    "yolact": "https://github.com/dbolya/yolact",
}
"""Where the authors publish their weights."""

INTERACTORS = ("compact", "random_walker", "mivos")
"""Names `create_interactor` knows."""

DETECTORS = ("cells", "yolact")
"""Names `create_detector` knows."""


def create_propagator(
    name: str,
    frames: FrameStack,
    *,
    config: Any = None,
    weights: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    plan: Mapping[str, Any] | None = None,
) -> Propagator:
    """Make an engine for a stack.

    Parameters
    ----------
    name
        One of `PROPAGATORS`.
    frames
        The stack to work on.
    config
        The engine's configuration; None for the default.
    weights
        A file or a registered name; None for the shipped weights, which
        "mivos" lacks.
    device, precision
        See `napari_vos.device`.
    plan
        The plan of an earlier run, to be repeated: it wins over `config`,
        `device` and `precision`.

    Raises
    ------
    NapariVosError
        If there is no such engine, or its weights or device can't be used.
    """
    if name not in PROPAGATORS:
        raise NapariVosError(
            f"There is no engine {name!r}; expected one of {', '.join(PROPAGATORS)}."
        )
    make = partial(
        _create, name, config=config, weights=weights, device=device, precision=precision, plan=plan
    )
    refine = getattr(config, "refine", "no") if plan is None else plan["config"].get("refine", "no")
    if refine == "no":
        return make(frames)
    from napari_vos.engines.refined import RefinedPropagator

    return RefinedPropagator.create(make, frames, refine=refine, plan=plan)


def _create(name: str, frames: FrameStack, **options: Any) -> Propagator:
    if name == "mivos":
        from napari_vos.engines.mivos import MivosPropagator

        return MivosPropagator.create(frames, **options)
    if name == "mast":
        from napari_vos.engines.mast import MastPropagator

        return MastPropagator.create(frames, **options)
    from napari_vos.engines.compact import CompactPropagator

    return CompactPropagator.create(frames, **options)


def create_interactor(
    name: str,
    frames: FrameStack,
    *,
    config: Any = None,
    weights: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
) -> Interactor:
    """Make what turns scribbles, points and boxes on a stack into masks.

    Parameters
    ----------
    name
        One of `INTERACTORS`.
    frames
        The stack to work on.
    config
        The interactor's configuration; None for the default.
    weights
        A file or a registered name; None for the shipped weights, which
        "mivos" lacks. The random walker has none.
    device, precision
        See `napari_vos.device`; the random walker uses neither.

    Raises
    ------
    NapariVosError
        If there is no such interactor, or its weights or device can't be used.
    """
    if name not in INTERACTORS:
        raise NapariVosError(
            f"There is no interactor {name!r}; expected one of {', '.join(INTERACTORS)}."
        )
    if name == "compact":
        from napari_vos.engines.interaction import CompactInteractor

        return CompactInteractor.create(
            frames, config=config, weights=weights, device=device, precision=precision
        )
    if name == "mivos":
        from napari_vos.engines.mivos_interaction import MivosInteractor

        return MivosInteractor.create(
            frames, config=config, weights=weights, device=device, precision=precision
        )
    from napari_vos.engines.random_walker import RandomWalker

    return RandomWalker.create(frames, config=config)


def create_detector(
    name: str,
    frames: FrameStack,
    *,
    config: Any = None,
    weights: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
) -> Detector:
    """Make what finds the instances of a stack's frames.

    Parameters
    ----------
    name
        One of `DETECTORS`.
    frames
        The stack to work on.
    config
        The detector's configuration; None for the default.
    weights
        A file or a registered name; None for the shipped weights, which "yolact"
        lacks.
    device, precision
        See `napari_vos.device`.

    Raises
    ------
    NapariVosError
        If there is no such detector, or its weights or device can't be used.
    """
    if name not in DETECTORS:
        raise NapariVosError(
            f"There is no detector {name!r}; expected one of {', '.join(DETECTORS)}."
        )
    if name == "cells":
        from napari_vos.engines.cells import CellDetector

        return CellDetector.create(
            frames, config=config, weights=weights, device=device, precision=precision
        )
    from napari_vos.engines.yolact import YolactDetector

    return YolactDetector.create(
        frames, config=config, weights=weights, device=device, precision=precision
    )

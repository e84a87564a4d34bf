from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

import napari_vos.engines
from napari_vos.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """The module fake_engine.py."""
    path = Path(__file__).with_name("fake_engine.py")
    spec = importlib.util.spec_from_file_location("fake_engine", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fake_engine"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def factory(fake: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stands for `create_propagator`; remembers the engines it has made."""
    factory = fake.Factory()
    monkeypatch.setattr(napari_vos.engines, "create_propagator", factory, raising=False)
    return factory


@pytest.fixture
def frames(fake: ModuleType) -> Any:
    """12 frames of 24 x 40 pixels."""
    return fake.FakeFrames()


@pytest.fixture
def blocks(fake: ModuleType, frames: Any) -> Callable[..., Any]:
    """Return labels with 4 x 4 blocks: blocks(o7=(2, 3)) is object 7 at row 2, column 3."""
    return lambda **corners: fake.blocks(frames.shape, **corners)


@pytest.fixture
def session(frames: Any, factory: Any) -> Iterator[Session]:
    with Session(frames) as session:
        yield session

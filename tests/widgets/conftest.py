from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import napari_vos.engines


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """The engine without a network, of the session's tests."""
    path = Path(__file__).parents[1] / "session" / "fake_engine.py"
    spec = importlib.util.spec_from_file_location("fake_engine", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fake_engine"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def factory(fake: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    factory = fake.Factory()
    monkeypatch.setattr(napari_vos.engines, "create_propagator", factory, raising=False)
    return factory


@pytest.fixture
def images() -> np.ndarray:
    """12 frames of 24 x 40 pixels."""
    return np.random.default_rng(0).integers(0, 1000, (12, 24, 40), dtype=np.uint16)


@pytest.fixture
def masks() -> np.ndarray:
    """Objects 1 and 7 on frame 0 of the images."""
    labels = np.zeros((12, 24, 40), np.uint16)
    labels[0, 2:6, 3:7] = 1
    labels[0, 12:16, 10:14] = 7
    return labels

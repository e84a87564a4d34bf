"""What all tests share: the window, the GPU, the reference folder, an engine without a network.

`NAPARI_VOS_REFERENCE` names the reference folder; tests that need it skip
without. `NAPARI_VOS_REQUIRE_WINDOW=1` turns a skipped window test into a
failure, so that a machine that lacks a display or a library is noticed.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import ModuleType

WINDOW_FIXTURES = {"make_napari_viewer", "make_napari_viewer_proxy", "qapp", "qtbot"}

# One thread is fastest for the small tensors of tests, and the same on every
# machine. Torch reads this when it is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def window_required() -> bool:
    return os.environ.get("NAPARI_VOS_REQUIRE_WINDOW", "0") not in ("", "0")


def has_display() -> bool:
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if WINDOW_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("gui")
    window_tests = [item for item in items if item.get_closest_marker("gui")]
    if window_required() and not window_tests:
        raise pytest.UsageError("NAPARI_VOS_REQUIRE_WINDOW is set, but there is no window test.")
    if not window_required() and not has_display():
        for item in window_tests:
            item.add_marker(pytest.mark.skip(reason="needs a display: try xvfb-run"))
    gpu_tests = [item for item in items if item.get_closest_marker("gpu")]
    if gpu_tests and not has_gpu():
        for item in gpu_tests:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    expected = hasattr(report, "wasxfail")
    if report.skipped and not expected and window_required() and item.get_closest_marker("gui"):
        report.outcome = "failed"
        report.longrepr = f"A skipped window test counts as failed here: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def reference() -> Path:
    """The reference folder, holding data/ and golden/."""
    folder = os.environ.get("NAPARI_VOS_REFERENCE")
    if not folder:
        pytest.skip("NAPARI_VOS_REFERENCE doesn't name the reference folder")
    return Path(folder)


@pytest.fixture(scope="session")
def mivos_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Weights files of the propagation and the fusion network of MiVOS, which learnt nothing."""
    import torch
    from safetensors.torch import save_file

    from napari_vos.networks.mivos import FusionNetwork, PropagationNetwork

    folder = tmp_path_factory.mktemp("mivos")
    paths = folder / "propagation.safetensors", folder / "fusion.safetensors"
    with torch.device("meta"):
        networks = PropagationNetwork(), FusionNetwork()
    for network, path in zip(networks, paths, strict=True):
        shapes = {key: value.shape for key, value in network.state_dict().items()}
        save_file({key: torch.full(shape, 0.01) for key, shape in shapes.items()}, path)
    return paths


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """The module session/fake_engine.py: masks that walk to the right."""
    path = Path(__file__).parent / "session" / "fake_engine.py"
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
    monkeypatch.setattr("napari_vos.engines.create_propagator", factory)
    return factory


@pytest.fixture
def images() -> np.ndarray:
    """12 frames of 24 x 40 pixels."""
    return np.random.default_rng(0).integers(0, 1000, (12, 24, 40), dtype=np.uint16)


@pytest.fixture
def masks(images: np.ndarray) -> np.ndarray:
    """Objects 1 and 7 on frame 0 of the images."""
    labels = np.zeros_like(images)
    labels[0, 2:6, 3:7] = 1
    labels[0, 12:16, 10:14] = 7
    return labels

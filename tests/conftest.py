"""What all tests share: the window, the GPU, the reference folder.

`NAPARI_VOS_REFERENCE` names the reference folder; tests that need it skip
without. `NAPARI_VOS_REQUIRE_WINDOW=1` turns a skipped window test into a
failure, so that a machine that lacks a display or a library is noticed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

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

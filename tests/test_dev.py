"""The two commands of a bare clone, without installing anything."""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """dev.py in an empty checkout; what it would run is in `dev.calls`."""
    spec = importlib.util.spec_from_file_location("dev", ROOT / "dev.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "pyvenv.cfg").touch()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "ENVIRONMENT", tmp_path / ".venv")
    monkeypatch.delenv("NAPARI_VOS_TORCH", raising=False)
    module.calls = []
    monkeypatch.setattr(module, "run", lambda *call: module.calls.append(call))
    return module


def test_second_time_installs_nothing(dev: ModuleType) -> None:
    dev.install("test")
    assert dev.calls
    dev.calls.clear()
    dev.install("test")
    assert dev.calls == []


def test_changed_project_is_installed_again(dev: ModuleType) -> None:
    dev.install("test")
    dev.calls.clear()
    (dev.ROOT / "constraints.txt").write_text("torch==2.12.0\n")
    dev.install("test")
    assert dev.calls


def test_torch_comes_before_the_project(dev: ModuleType) -> None:
    dev.install("demo")
    torch = next(i for i, call in enumerate(dev.calls) if call[-1] == "torch")
    project = next(i for i, call in enumerate(dev.calls) if "--editable" in call)
    assert torch < project
    assert "constraints.txt" in dev.calls[torch]


def test_user_chooses_torch(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_VOS_TORCH", "torch==2.9.0 --index-url https://example.org/cu130")
    dev.install("demo")
    assert any(
        call[-3:] == ("torch==2.9.0", "--index-url", "https://example.org/cu130")
        for call in dev.calls
    )
    assert not any("constraints.txt" in call for call in dev.calls)


def test_missing_system_library_is_named(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        if name == "libEGL.so.1":
            raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", load)
    with pytest.raises(SystemExit, match=r"libEGL\.so\.1.*\n.*apt-get install libegl1$"):
        dev.require_window_libraries()


def test_every_window_library_is_installed_by_ci(dev: ModuleType) -> None:
    words = (ROOT / ".ci" / "run").read_text().split()
    assert set(dev.WINDOW_LIBRARIES.values()) <= set(words)

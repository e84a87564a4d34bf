"""What importing the package loads, seen from a fresh interpreter."""

from __future__ import annotations

import importlib.util
import pkgutil
import subprocess
import sys

import pytest

import napari_vos

WINDOW_PARTS = ("napari_vos._napari", "napari_vos.widgets")
TORCH_PARTS = tuple(
    f"napari_vos.{part}" for part in ("checkpoints", "device", "engines", "networks", "training")
)
WINDOW_LIBRARIES = ("magicgui", "napari", "qtpy", "superqt", "vispy")
BINDINGS = ("PyQt5", "PyQt6", "PySide2", "PySide6")

MODULES = sorted(
    module.name for module in pkgutil.walk_packages(napari_vos.__path__, "napari_vos.")
)
CORE_MODULES = [name for name in MODULES if not name.startswith(WINDOW_PARTS)]
LIGHT_MODULES = [name for name in CORE_MODULES if not name.startswith(TORCH_PARTS)]

PROGRAM = """
import importlib, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused!r}:
            raise ImportError(f"{{name}} must not be imported here")

sys.meta_path.insert(0, Refuse())
for module in {modules!r}:
    try:
        importlib.import_module(module)
    except Exception as error:
        raise SystemExit(f"{{module}}: {{error!r}}")
"""


def import_without(modules: list[str], *refused: str) -> None:
    """Import `modules` in a fresh interpreter in which `refused` can't be imported."""
    program = PROGRAM.format(modules=modules, refused=refused)
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert finished.returncode == 0, finished.stderr


def test_package_loads_neither_torch_nor_qt_nor_napari() -> None:
    import_without(["napari_vos"], "torch", "numpy", *WINDOW_LIBRARIES, *BINDINGS)


def test_refused_module_is_noticed() -> None:
    with pytest.raises(AssertionError, match=r"napari_vos\.errors"):
        import_without(["napari_vos.errors"], "napari_vos")


def test_core_needs_no_window() -> None:
    import_without(CORE_MODULES, *WINDOW_LIBRARIES, *BINDINGS)


def test_light_parts_load_no_torch() -> None:
    import_without(LIGHT_MODULES, "torch")


def test_public_names_resolve_lazily() -> None:
    for name in napari_vos.__all__:
        assert getattr(napari_vos, name) is not None


def test_version_is_known() -> None:
    assert napari_vos.__version__[0].isdigit()


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        napari_vos.no_such_name  # noqa: B018


def test_torchvision_is_absent() -> None:
    assert importlib.util.find_spec("torchvision") is None
